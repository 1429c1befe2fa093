"""The browser verifies, obeys the keyboard and records answers; and axe finds what is wrong."""

import http.server
import shutil
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from infraforge.cluster import pki
from infraforge.errors import Broken, TimedOut
from infraforge.workloads import axe, browser

_MISSING = [name for name in ("chromium", "chromedriver", "certutil") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}")


_HEAD = b"<!doctype html><html lang=en><title>A page</title><main><h1>Page</h1>"
_PAGES = {
    "/": b"<title>A page</title><p id=who>ada</p>",
    "/form": _HEAD + b"<a href=/>1</a> <button id=b>2</button>"
    b"<label>3 <input type=file id=f></label> <button id=off disabled>4</button></main></html>",
    "/bad": _HEAD + b"<button></button></main></html>",
}


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up on a certificate is what is wanted here."""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = _PAGES.get(self.path, _PAGES["/"])
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("X-Cache", "hit")
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "seen=yes; Secure; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


@pytest.fixture
def origin(authority: pki.Authority, tmp_path: Path) -> Iterator[str]:
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server = _Server(("127.0.0.1", 0), _Page)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_of_the_trusted_ca_is_accepted(authority: pki.Authority, origin: str) -> None:
    with browser.chromium(authority.ca_file) as window:
        window.open(origin + "/")
        assert window.text("#who") == "ada"
        assert window.cookies()["seen"]["httpOnly"] is True
        assert window.script("return document.cookie") == ""
        assert window.screenshot().startswith(b"\x89PNG")


def test_a_certificate_of_another_ca_is_refused(origin: str, tmp_path: Path) -> None:
    other = pki.Authority.load_or_create(tmp_path / "other")
    with (
        browser.chromium(other.ca_file) as window,
        pytest.raises(browser.BrowserFailed, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        window.open(origin + "/")


def test_the_keyboard_reaches_controls_and_chooses_files(
    authority: pki.Authority, origin: str, tmp_path: Path
) -> None:
    """Tab finds what can be used and Broken says what cannot; a key chooses a file."""
    chosen = tmp_path / "note.txt"
    chosen.write_text("chosen")
    with browser.chromium(authority.ca_file) as window:
        window.open(origin + "/form")
        window.tab_to("#b")
        assert window.focused("main")
        assert not window.focused("#f")
        with pytest.raises(Broken, match="does not reach #off"):
            window.tab_to("#off", most=5)
        window.tab_to("#f")
        window.choose(chosen, Keys.SPACE)
        assert window.script("return document.querySelector('#f').files[0].name") == "note.txt"


def test_received_answers_have_their_headers(authority: pki.Authority, origin: str) -> None:
    with browser.chromium(authority.ca_file) as window:
        window.open(origin + "/form")
        (answer,) = [one for one in window.received() if one.url == origin + "/form"]
        assert (answer.status, answer.headers["x-cache"]) == (200, "hit")
        assert not [one for one in window.received() if one.url == origin + "/form"]
        with window.offline(), pytest.raises(TimedOut, match="DISCONNECTED"):
            window.open(origin + "/form")
        window.open(origin + "/form")


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_axe_tells_a_good_page_from_a_bad_one(authority: pki.Authority, origin: str) -> None:
    """Under a content security policy that lets no script in."""
    with browser.chromium(authority.ca_file) as window:
        window.open(origin + "/form")
        good = axe.examine(window)
        assert not good.violations, str(good)
        window.open(origin + "/bad")
        bad = axe.examine(window)
        assert bad.rules == {"button-name"}
        assert "button" in str(bad)
