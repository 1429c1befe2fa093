"""The last step of a stand-up: the whole way in, as a person uses it, several times in a row."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import brought, stack
from infraforge.components import vault_identity, way_in
from infraforge.errors import TimedOut
from infraforge.stack import TREE, up

FORM = """<form action="/login/authorize?state=s"><input type="hidden" name="csrf" value="c">
<input name="username"><input type="password" name="password"></form>"""


class Door(ThreadingHTTPServer):
    """A front door that does what each step of a sign-in wants, unless told otherwise.

    spoilt: what the request `METHOD PATH` is answered with instead; unsteady: requests, by their
    number, that are hung up on.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spoilt: dict[str, tuple[int, str, str]] = {}
        self.unsteady: set[int] = set()
        self.asked: list[str] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        request = f"{self.command} {path}"
        self.server.asked.append(request)
        if len(self.server.asked) in self.server.unsteady:
            self.close_connection = True
            return
        size = int(self.headers.get("Content-Length") or 0)
        form = self.rfile.read(size).decode()
        signed_in = "session=ada" in (self.headers.get("Cookie") or "")
        right = "username=ada" in form and "password=right" in form and "csrf=c" in form
        answers = {
            "GET /": (200, "text/html", "") if signed_in else (302, "", "/oauth2/start?rd=/"),
            "GET /oauth2/start": (302, "", "/login/authorize?state=s"),
            "GET /login/authorize": (200, "text/html", FORM),
            "POST /login/authorize": (303, "", "/oauth2/callback?code=secret&state=s")
            if right
            else (401, "text/html", FORM),
            "GET /oauth2/callback": (302, "", "/"),
            "GET /api/me": (200 if signed_in else 401, "application/json", ""),
            "GET /oauth2/sign_out": (302, "", "/"),
        }
        status, kind, more = self.server.spoilt.get(request, answers[request])
        body = more.encode() if status in (200, 401) else b""
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status in (302, 303):
            self.send_header("Location", more)
        if path == "/oauth2/callback":
            self.send_header("Set-Cookie", "session=ada; Path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    with contextlib.closing(made.socket):
        yield made
        made.shutdown()


@pytest.fixture
def site(door: Door, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(vault_identity, "password", lambda _site, _name: "right")
    budgets = SimpleNamespace(component=5.0)
    return SimpleNamespace(
        origin=door.origin,
        ca_file=Path("/nowhere"),
        tree=TREE,
        profile=SimpleNamespace(budgets=budgets),
    )


def wait_open(site: Any) -> list[str]:
    said: list[str] = []
    way_in.wait_open(site, said.append)
    return said


def test_the_whole_way_is_tested(site: Any, door: Door) -> None:
    assert wait_open(site)
    assert door.asked.count("GET /login/authorize") == way_in.TIMES + 1
    assert door.asked[-6:] == [
        "GET /login/authorize",
        "POST /login/authorize",
        "GET /oauth2/callback",
        "GET /",
        "GET /api/me",
        "GET /oauth2/sign_out",
    ]


@pytest.mark.parametrize("number", [1, 2, 9, 13, 18, 19, 20])
def test_a_broken_connection_starts_the_way_over(site: Any, door: Door, number: int) -> None:
    """Answered several times in a row is what counts, not several times."""
    door.unsteady = {number}
    wait_open(site)
    good = [*range(number + 1, len(door.asked) + 1)]
    assert len(good) >= 3 * way_in.TIMES + 8


SHUT = [
    ("GET /", (502, "text/html", "")),
    ("GET /", (200, "text/html", "")),
    ("GET /", (302, "", "https://elsewhere.example/oauth2/start")),
    ("GET /oauth2/start", (503, "text/html", "")),
    ("GET /oauth2/start", (302, "", "/")),
    ("GET /login/authorize", (200, "text/html", "be back soon")),
    ("GET /login/authorize", (503, "text/html", FORM)),
    ("POST /login/authorize", (401, "text/html", FORM)),
    ("POST /login/authorize", (429, "text/html", "")),
    ("POST /login/authorize", (503, "text/html", "")),
    ("GET /oauth2/callback", (403, "text/html", "")),
    ("GET /api/me", (502, "application/problem+json", "")),
    ("GET /api/me", (200, "text/html", "")),
    ("GET /oauth2/sign_out", (503, "text/html", "")),
]


@pytest.mark.parametrize(("request_line", "answer"), SHUT)
def test_every_failing_step_is_named(
    site: Any,
    door: Door,
    request_line: str,
    answer: tuple[int, str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(way_in, "TIMES", 1)
    door.spoilt[request_line] = answer
    site.profile.budgets.component = 0.1
    with pytest.raises(TimedOut) as raised:
        wait_open(site)
    told = str(raised.value)
    assert f"{request_line}: {answer[0]}" in told
    assert "secret" not in told


def test_a_closed_port_is_reported(site: Any) -> None:
    site.origin, site.profile.budgets.component = "http://127.0.0.1:9", 0.3
    with pytest.raises(TimedOut, match="GET /: ConnectionError"):
        wait_open(site)


def test_every_command_that_changes_pods_ends_with_it() -> None:
    """Read from the source: each of these ends by going the way in."""
    for function in (up._stand_up, stack.renew, stack.replace_ca, brought.stand_up):
        assert "wait_open" in function.__code__.co_names, function.__name__
