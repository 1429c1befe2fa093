"""A real, headless Chromium that trusts the platform's CA beside the public ones, and verifies.

Trust comes from an NSS database in a HOME of the browser's own (that is where Chromium on Linux
looks); no verification is switched off, and nothing of the user's own browser is touched.
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
"""A page may take long on a busy machine; how long it may take is no question of this module."""
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
    """Chromium or its driver did not do what was asked; says nothing of the platform."""


class _NoNetwork(BrowserFailed):
    """Chromium thinks that this machine has no network, or has another one since a moment."""


@dataclass(frozen=True)
class Received:
    """An answer that a page got. headers: by their names in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]


class Browser:
    """One window. Elements are named by CSS selectors."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    @property
    def url(self) -> str:
        return str(self._driver.current_url)

    def open(self, url: str) -> None:
        """Go there; BrowserFailed with Chromium's own code where no page comes of it.

        Network interfaces come and go with pods, and Chromium may think for a moment
        that this machine has no network. That is waited out; TimedOut where it stays so.
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
        # a warning about a certificate is a page of Chromium's own, and no error to its driver
        if str(self.script("return location.href")).startswith("chrome-error:"):
            found = re.search(r"ERR_[A-Z_]+", str(self._driver.page_source))
            code = found[0] if found else "an error page"
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
        """The visible text of each such element there is now."""
        return [str(item.text).strip() for item in self._all(selector)]

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is (`selenium…Keys`, or text)."""
        ActionChains(self._driver).send_keys(*keys).perform()

    def focused(self, selector: str) -> bool:
        """Whether the focus is on, or within, such an element."""
        return bool(self._driver.execute_script(_FOCUSED, selector))

    def tab_to(self, selector: str, most: int = 100) -> None:
        """Press Tab until the focus is on such an element. Raises Broken where it never is."""
        passed: list[str] = []
        while len(passed) < most:
            self.press(Keys.TAB)
            here = str(self.script(_HERE))
            if self._driver.execute_script(_IS, selector):
                return
            passed.append(here)
        raise Broken(f"no way to {selector} with the keyboard at {self.url}: {passed}")

    def choose(self, path: Path, key: str) -> None:
        """Press a key that opens the dialog in which a file is chosen, and choose that file.

        Raises Broken where no dialog is asked for.
        """
        self._driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": True})
        try:
            self._events("Page.fileChooserOpened")
            self.press(key)
            opened = wait_until(
                lambda: self._events("Page.fileChooserOpened"),
                seconds(10),
                what=f"a dialog to choose a file opens at {self.url}",
                broken=True,
            )
            node = opened[0]["backendNodeId"]
            chosen = {"files": [str(path)], "backendNodeId": node}
            self._driver.execute_cdp_cmd("DOM.setFileInputFiles", chosen)
        finally:
            self._driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": False})

    def forget(self) -> None:
        """Lose all cookies of the page's site."""
        self._driver.delete_all_cookies()

    def cookies(self) -> dict[str, dict[str, object]]:
        """Name → the cookie, those included that no script on the page can see."""
        return {str(cookie["name"]): dict(cookie) for cookie in self._driver.get_cookies()}

    def script(self, source: str) -> object:
        """What a script on the page returns."""
        found: object = self._driver.execute_script(source)
        return found

    def answer_of(self, source: str) -> object:
        """What a script on the page hands to its last argument, a function, in the end."""
        found: object = self._driver.execute_async_script(source)
        return found

    def received(self) -> list[Received]:
        """The answers that the page got since it was last asked, the browser's own cache aside."""
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
        """Be the browser of somebody who prefers a `light` or `dark` page."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def narrow(self, width: int, height: int = 900) -> None:
        """Let the window be so many CSS pixels wide."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Within the block the browser reaches nobody."""
        self._driver.set_network_conditions(offline=True, latency=0, throughput=0)
        try:
            yield
        finally:
            self._driver.delete_network_conditions()

    def complaints(self) -> list[str]:
        """What the browser has written to its console since it was last asked, errors and all."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return bytes(self._driver.get_screenshot_as_png())

    def _events(self, name: str) -> list[dict[str, Any]]:
        """What Chromium told of this kind since it was last asked, of whatever kind."""
        entries = self._driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [event["params"] for event in events if event["method"] == name]

    def _all(self, selector: str) -> list[WebElement]:
        return list(self._driver.find_elements(By.CSS_SELECTOR, selector))

    def _element(self, selector: str) -> WebElement:
        found = wait_until(
            lambda: self._all(selector), seconds(15), what=f"{selector} is there at {self.url}"
        )
        return found[0]


@contextlib.contextmanager
def chromium(ca_file: Path) -> Iterator[Browser]:
    """A fresh browser that trusts `ca_file`; it and all it kept are gone after the block.

    One at a time on a machine: several would take from the platform what it needs to answer.
    Raises BrowserFailed when it cannot be started.
    """
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise BrowserFailed(f"{', '.join(missing)} not found; ./bootstrap installs them")
    with (
        locks.held(state.locks_dir() / "_chromium"),  # as no platform can be named
        # Chromium may still write while it is being left
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
    # C: may vouch for servers, and for nothing else
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
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to work for root
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    service = webdriver.ChromeService(
        shutil.which("chromedriver"), env={**environment, "HOME": str(home), "TMPDIR": str(home)}
    )
    try:
        driver = webdriver.Chrome(options=options, service=service)
        driver.set_page_load_timeout(30)
    except WebDriverException as error:
        raise BrowserFailed(f"Chromium does not start: {error.msg}") from error
    return driver
