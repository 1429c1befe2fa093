"""The front door's client: only the login page's own denial is one; all else is unknown."""

import http.server
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.errors import Broken, Inconclusive
from infraforge.workloads import front_door, visitor
from infraforge.workloads.front_door import Callback, Form, FrontDoor, SignInDenied, Unexpected
from infraforge.workloads.visitor import NoAnswer
from infraforge.workloads.volley import Shot, volley

PAGE = """<form method="post" action="/login/authorize?a=1&amp;b=2">
<input type="hidden" name="form" value="seal&quot;{0}"><input name="username">
<input type="password" name="password"></form>"""
STATE = "n" * 43 + ":/"


@dataclass
class Door:
    """A scripted front door. verdict: its answer to the login form."""

    verdict: int = 303
    callback: int = 302
    busy: int = 0
    seals: int = 0
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def client(door: Door, authority: pki.Authority, tmp_path: Path) -> Iterator[FrontDoor]:
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server = _Server(("127.0.0.1", 0), _handler(door))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield FrontDoor(f"https://127.0.0.1:{server.server_port}", authority.ca_file)
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_whole_way_in_and_out(client: FrontDoor, door: Door) -> None:
    who = client.sign_in("ada", "right", "/projects")
    assert who.cookies.get(front_door.SESSION_COOKIE) == "a-session"
    assert door.asked[-1] == "GET /projects"
    client.sign_out(who)
    assert front_door.SESSION_COOKIE not in who.cookies


def test_a_denial_is_a_broken_promise_unless_it_is_wanted(client: FrontDoor, door: Door) -> None:
    door.verdict = 401
    with pytest.raises(SignInDenied) as caught:
        client.sign_in("ada", "wrong")
    assert isinstance(caught.value, Broken)
    assert front_door.denies(caught.value.answer)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 500, 502, 503, 504, 4010])
def test_nothing_else_is_a_denial(client: FrontDoor, door: Door, status: int) -> None:
    """4010: 401, but not from the login page."""
    door.verdict = status
    with pytest.raises(Inconclusive):
        client.sign_in("ada", "right")


def test_no_connection_is_no_answer(client: FrontDoor, authority: pki.Authority) -> None:
    nobody = FrontDoor("https://127.0.0.1:9", authority.ca_file)
    with pytest.raises(NoAnswer):
        nobody.sign_in("ada", "right")
    with pytest.raises(NoAnswer):
        nobody.send_as_is("/")


def test_a_certificate_of_another_ca_is_no_answer(client: FrontDoor, tmp_path: Path) -> None:
    other = pki.Authority.load_or_create(tmp_path / "other")
    stranger = FrontDoor(client.origin, other.ca_file)
    with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.begin()
    with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.send_as_is("/")


def test_the_environment_has_no_influence(
    client: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
    assert client.anonymous().ask("GET", "/projects").status_code == 200


def test_a_client_told_to_come_later_does(client: FrontDoor, door: Door) -> None:
    door.busy = 1
    assert client.anonymous().ask("GET", "/projects").status_code == 200
    assert door.asked == ["GET /projects", "GET /projects"]


def test_a_client_always_told_to_come_later_got_no_answer(
    client: FrontDoor, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "PATIENCE", 0.0)
    door.busy = 99
    with pytest.raises(NoAnswer, match="rate limit"):
        client.send_as_is("/projects")


@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_callback_that_makes_no_session_is_unexpected(
    client: FrontDoor, door: Door, status: int
) -> None:
    door.callback = status
    with pytest.raises(Unexpected) as caught:
        client.sign_in("ada", "right")
    assert caught.value.status == status


def test_redirects_are_not_followed_unasked(client: FrontDoor, door: Door) -> None:
    assert client.anonymous().get("/oauth2/start").status_code == 302
    assert client.anonymous().request("GET", client.origin + "/oauth2/start").status_code == 302
    assert len(door.asked) == 2


def test_a_target_is_sent_as_it_is(client: FrontDoor, door: Door) -> None:
    client.send_as_is("/login/..%2f../x", ("X_Forwarded_User", "ada"))
    assert door.asked == ["GET /login/..%2f../x"]


def test_a_twin_has_the_cookies_and_leaves_them_alone(client: FrontDoor) -> None:
    who = client.sign_in("ada", "right")
    twin = who.twin()
    assert twin.cookie_header() == who.cookie_header()
    client.sign_out(who)
    assert twin.cookies.get(front_door.SESSION_COOKIE) == "a-session"


def test_a_volley_returns_every_status(client: FrontDoor, door: Door) -> None:
    door.busy = 2
    statuses = volley(client.origin, client.ca_file, [Shot("/projects")] * 4)
    assert sorted(statuses) == [200, 200, 429, 429]
    posted = volley(client.origin, client.ca_file, [Shot("/login/authorize", body="form=x")])
    assert posted == [303]


def test_a_volley_that_does_not_arrive_is_no_answer(client: FrontDoor) -> None:
    with pytest.raises(NoAnswer):
        volley("https://127.0.0.1:9", client.ca_file, [Shot("/")])


def test_form_is_found_among_other_things() -> None:
    page = f"<form action='/search'><input name=q></form><p>{PAGE.format(1)}</p>"
    form = Form.parse(page)
    assert form == Form("/login/authorize?a=1&b=2", {"form": 'seal"1'})
    assert "seal" not in repr(form)


@pytest.mark.parametrize(
    "page", ["", "<p>503", "<form action=/x><input type=hidden name=a></form>"]
)
def test_page_that_asks_for_no_password_has_no_form(page: str) -> None:
    assert Form.parse(page) is None


def test_a_callback_can_be_parsed_and_forged() -> None:
    callback = Callback.parse(f"https://127.0.0.1:8443/oauth2/callback?code=c%2B1&state={STATE}")
    assert callback is not None
    assert (callback.code, callback.state) == ("c+1", STATE)
    assert callback.forged() == "/oauth2/callback?code=c%2B1&state=" + "n" * 43 + "%3A%2F"
    assert "code=x" in callback.forged(code="x")
    assert Callback.parse("/oauth2/callback?code=1") is None
    assert Callback.parse("/elsewhere?code=1&state=2") is None
    assert "c+1" not in repr(callback).replace(callback.url, "")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/a?b=1", "/a?b=1"),
        ("https://127.0.0.1:8443/a", "/a"),
        ("https://127.0.0.1:8443", "/"),
        ("", ""),
        ("http://127.0.0.1:8443/a", ""),
        ("https://evil.example/", ""),
        ("//evil.example/", ""),
        ("/\\evil.example/", ""),
        ("/\t/evil.example/", ""),
        ("https://127.0.0.1:8443@evil.example/", ""),
    ],
)
def test_only_the_own_origin_is_local(client: FrontDoor, location: str, path: str) -> None:
    answer = client.anonymous().ask("GET", "/projects")
    answer.headers["Location"] = location
    assert front_door.local("https://127.0.0.1:8443", answer) == path


def test_denials_are_compared_without_their_one_time_parts(client: FrontDoor, door: Door) -> None:
    door.verdict = 401
    one, other = (client.begin().post("ada", "wrong") for _ in range(2))
    assert one.text != other.text
    assert front_door.seen_from_outside(one) == front_door.seen_from_outside(other)
    other.headers["X-More"] = "1"
    assert front_door.seen_from_outside(one) != front_door.seen_from_outside(other)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


def _handler(door: Door) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers as the platform's front door does, in shape and status."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self._enter()
            if path is None:
                return
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            if path == "/oauth2/start":
                back = query.get("rd", ["/"])[0]
                self._say(302, where=f"/login/authorize?{urllib.parse.urlencode({'rd': back})}")
            elif path == "/login/authorize":
                door.seals += 1
                door.asked.append(f"on the way to {query.get('rd', ['/'])[0]}")
                self._say(200, PAGE.format(door.seals))
            elif path == "/oauth2/callback":
                cookie = "__Host-infraforge_session=a-session; Path=/; Secure; HttpOnly"
                where = door.asked[-3].removeprefix("on the way to ")
                made = door.callback == 302
                self._say(door.callback, where=where, cookie=cookie if made else "")
            elif path == "/oauth2/sign_out":
                self._say(302, where="/", cookie="__Host-infraforge_session=; Path=/; Max-Age=0")
            else:
                self._say(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self._enter() is None:
                return
            door.seals += 1
            if door.verdict == 303:
                self._say(303, where=f"/oauth2/callback?code=c&state={STATE}")
            elif door.verdict == 4010:
                self._say(401, "no form here")
            else:
                self._say(door.verdict, PAGE.format(door.seals))

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _enter(self) -> str | None:
            door.asked.append(f"{self.command} {self.path}")
            if door.busy:
                door.busy -= 1
                self._say(429)
                return None
            return urllib.parse.urlsplit(self.path).path

        def _say(self, status: int, body: str = "", where: str = "", cookie: str = "") -> None:
            self.send_response(status)
            if where:
                self.send_header("Location", where)
            if cookie:
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return Handler
