"""The browser verifies: the platform's CA opens the door, another one does not."""

import http.server
import shutil
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.workloads import browser

_MISSING = [name for name in ("chromium", "chromedriver", "certutil") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}")


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up on a certificate is what is wanted here."""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<title>A page</title><p id=who>ada</p>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
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
