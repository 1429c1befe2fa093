"""A real, headless Chromium that trusts the platform CA besides the public ones, and verifies.

The trust comes from an NSS database in the browser's own HOME, where Chromium on Linux looks for
it. Verification stays on, and the user's own browser is not touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from infraforge import locks
from infraforge.cluster import state
from infraforge.errors import Broken, Inconclusive
from infraforge.wait import seconds, wait_until

_ARRIVES_WITHIN = seconds(60)
"""Generous, as a page may take long on a busy machine: this module measures no page times."""
_SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--window-size=1280,900",
)
_PROGRAMS = ("chromium", "chromedriver", "certutil")
_UNPLUGGED = ("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_CHANGED")
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


_HERE = "return document.activeElement.outerHTML.slice(0, 120)"
_IS = "return document.activeElement.matches(arguments[0])"
_FOCUSED = "return document.activeElement.closest(arguments[0]) !== null"


class BrowserFailed(Inconclusive):
    """Chromium or its driver failed; this says nothing about the platform."""


class _NoNetwork(BrowserFailed):
    """Chromium believes that this machine has no network, or that the network just changed."""


@dataclass(frozen=True)
class Received:
    """An answer that a page received. headers: names in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]


class Browser:
    """One window. CSS selectors name its elements."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    @property
    def url(self) -> str:
        return str(self._driver.current_url)

    def open(self, url: str) -> None:
        """Load the URL; raises BrowserFailed with Chromium's own code where no page loads.

        Network interfaces come and go with pods, and Chromium may believe for a moment that this
        machine has no network. This waits until it recovers; TimedOut where it does not.
        """
        wait_until(
            lambda: self._arrives(url),
            _ARRIVES_WITHIN,
            what=f"Chromium goes to {url}",
            ignoring=(_NoNetwork,),
        )

    def _arrives(self, url: str) -> bool:
        try:
            self._driver.get(url)
        except WebDriverException as error:
            if any(code in str(error.msg) for code in _UNPLUGGED):
                raise _NoNetwork(f"{url}: {error.msg}") from error
            raise BrowserFailed(f"{url}: {error.msg}") from error
        # a certificate warning is a page of Chromium's own, and not an error for its driver
        if str(self.script("return location.href")).startswith("chrome-error:"):
            match = re.search(r"ERR_[A-Z_]+", str(self._driver.page_source))
            code = match[0] if match else "an error page"
            raise (_NoNetwork if code in _UNPLUGGED else BrowserFailed)(f"{url}: {code}")
        return True

    def fill(self, selector: str, text: str) -> None:
        self._element(selector).send_keys(text)

    def click(self, selector: str) -> None:
        self._element(selector).click()

    def text(self, selector: str, within: float = 15.0) -> str:
        """The element's visible text, once it has any."""

        def shown() -> str:
            return "".join(str(item.text).strip() for item in self._all(selector))

        return wait_until(
            shown,
            within,
            what=f"{selector} shows something at {self.url}",
            ignoring=(StaleElementReferenceException,),
        )

    def shows(self, selector: str) -> list[str]:
        """The visible text of each element that matches now."""
        return [str(item.text).strip() for item in self._all(selector)]

    def press(self, *keys: str) -> None:
        """Press keys one after another, at the present focus (`selenium…Keys`, or text)."""
        ActionChains(self._driver).send_keys(*keys).perform()

    def focused(self, selector: str) -> bool:
        """Whether the focus is on, or within, a matching element."""
        return bool(self._driver.execute_script(_FOCUSED, selector))

    def tab_to(self, selector: str, most: int = 100) -> None:
        """Press Tab until a matching element has the focus. Raises Broken where none ever has."""
        passed: list[str] = []
        while len(passed) < most:
            self.press(Keys.TAB)
            here = str(self.script(_HERE))
            if self._driver.execute_script(_IS, selector):
                return
            passed.append(here)
        raise Broken(f"the keyboard does not reach {selector} at {self.url}: {passed}")

    def choose(self, path: Path, key: str) -> None:
        """Press a key that opens a file dialog, and choose the file there.

        Raises Broken where no dialog opens.
        """
        self._driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": True})
        try:
            self._events("Page.fileChooserOpened")
            self.press(key)
            opened = wait_until(
                lambda: self._events("Page.fileChooserOpened"),
                seconds(10),
                what=f"a file dialog opens at {self.url}",
                broken=True,
            )
            node = opened[0]["backendNodeId"]
            chosen = {"files": [str(path)], "backendNodeId": node}
            self._driver.execute_cdp_cmd("DOM.setFileInputFiles", chosen)
        finally:
            self._driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": False})

    def forget(self) -> None:
        """Delete all cookies of the page's site."""
        self._driver.delete_all_cookies()

    def cookies(self) -> dict[str, dict[str, object]]:
        """Name → cookie, including cookies that scripts on the page cannot see."""
        return {str(cookie["name"]): dict(cookie) for cookie in self._driver.get_cookies()}

    def script(self, source: str) -> object:
        """The return value of a script on the page."""
        value: object = self._driver.execute_script(source)
        return value

    def answer_of(self, source: str) -> object:
        """The value that a script on the page passes to its last argument, a callback."""
        value: object = self._driver.execute_async_script(source)
        return value

    def received(self) -> list[Received]:
        """The answers that the page received since the last call, cached ones left out."""
        answers = [event["response"] for event in self._events("Network.responseReceived")]
        return [
            Received(
                answer["url"],
                answer["status"],
                {name.lower(): value for name, value in answer["headers"].items()},
            )
            for answer in answers
        ]

    def prefer(self, scheme: str) -> None:
        """Emulate a user who prefers a `light` or a `dark` page."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def narrow(self, width: int, height: int = 900) -> None:
        """Set the window's width in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Cut the browser off the network for the duration of the block."""
        self._driver.set_network_conditions(offline=True, latency=0, throughput=0)
        try:
            yield
        finally:
            self._driver.delete_network_conditions()

    def complaints(self) -> list[str]:
        """Everything in the browser's console since the last call, errors included."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return bytes(self._driver.get_screenshot_as_png())

    def _events(self, name: str) -> list[dict[str, Any]]:
        """Chromium's events of this kind since the last call (which drops all other kinds)."""
        entries = self._driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [event["params"] for event in events if event["method"] == name]

    def _all(self, selector: str) -> list[WebElement]:
        return list(self._driver.find_elements(By.CSS_SELECTOR, selector))

    def _element(self, selector: str) -> WebElement:
        elements = wait_until(
            lambda: self._all(selector), seconds(15), what=f"{selector} exists at {self.url}"
        )
        return elements[0]


@contextlib.contextmanager
def chromium(ca_file: Path) -> Iterator[Browser]:
    """A fresh browser that trusts `ca_file`; the block's end removes it with all its data.

    One at a time on a machine: several would take the CPU that the platform needs to answer.
    Raises BrowserFailed when it cannot be started.
    """
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise BrowserFailed(f"{', '.join(missing)} not found; install with: ./bootstrap")
    with (
        locks.held(state.locks_dir() / "_chromium"),  # no platform can have this name
        # Chromium may still write files while it exits
        tempfile.TemporaryDirectory(prefix="infraforge-", ignore_cleanup_errors=True) as name,
    ):
        home = Path(name)
        _trust(home, ca_file)
        driver = _start(home)
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def _trust(home: Path, ca_file: Path) -> None:
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    _certutil("-N", "-d", f"sql:{database}", "--empty-password")
    # C: trusted to issue server certificates, and nothing else
    trust = ("-n", "platform CA", "-t", "C,,", "-i", str(ca_file))
    _certutil("-A", "-d", f"sql:{database}", *trust)


def _certutil(*argv: str) -> None:
    done = subprocess.run(["certutil", *argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BrowserFailed(f"certutil {argv[0]}: {done.stderr.strip()}")


def _start(home: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for switch in (*_SWITCHES, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox does not work for root
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    service = webdriver.ChromeService(
        shutil.which("chromedriver"), env={**environment, "HOME": str(home), "TMPDIR": str(home)}
    )
    try:
        driver = webdriver.Chrome(options=options, service=service)
        driver.set_page_load_timeout(30)
    except WebDriverException as error:
        raise BrowserFailed(f"Chromium did not start: {error.msg}") from error
    return driver
