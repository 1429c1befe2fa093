"""A real, headless Chromium that trusts the platform's CA beside the public ones, and verifies.

Trust comes from an NSS database in a HOME of the browser's own (that is where Chromium on Linux
looks); no verification is switched off, and nothing of the user's own browser is touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from infraforge.errors import Inconclusive
from infraforge.wait import seconds, wait_until

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
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


class BrowserFailed(Inconclusive):
    """Chromium or its driver did not do what was asked; says nothing of the platform."""


class Browser:
    """One window. Elements are named by CSS selectors."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    @property
    def url(self) -> str:
        return str(self._driver.current_url)

    def open(self, url: str) -> None:
        """Go there; BrowserFailed with Chromium's own code where no page comes of it."""
        try:
            self._driver.get(url)
        except WebDriverException as error:
            raise BrowserFailed(f"{url}: {error.msg}") from error
        # a warning about a certificate is a page of Chromium's own, and no error to its driver
        if str(self.script("return location.href")).startswith("chrome-error:"):
            found = re.search(r"ERR_[A-Z_]+", str(self._driver.page_source))
            raise BrowserFailed(f"{url}: {found[0] if found else 'an error page'}")

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

    def cookies(self) -> dict[str, dict[str, object]]:
        """Name → the cookie, those included that no script on the page can see."""
        return {str(cookie["name"]): dict(cookie) for cookie in self._driver.get_cookies()}

    def script(self, source: str) -> object:
        """What a script on the page returns."""
        found: object = self._driver.execute_script(source)
        return found

    def complaints(self) -> list[str]:
        """What the browser has written to its console since it was last asked, errors and all."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return bytes(self._driver.get_screenshot_as_png())

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

    Raises BrowserFailed when it cannot be started.
    """
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise BrowserFailed(f"{', '.join(missing)} not found; ./bootstrap installs them")
    # Chromium may still write while it is being left
    with tempfile.TemporaryDirectory(prefix="infraforge-", ignore_cleanup_errors=True) as name:
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
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
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
