"""The login page against a small server that answers as Vault does, over verified TLS."""

from __future__ import annotations

import html
import http.server
import json
import logging
import re
import ssl
import threading
import unicodedata
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from infraforge.cluster import pki
from infraforge.selftests import apps  # noqa: F401  puts the app on the path

from infraforge_login import app as application  # isort: skip
from infraforge_login import form, guesses  # isort: skip
from infraforge_login.config import Config  # isort: skip

ORIGIN = "https://127.0.0.1:8443"
CLIENT = "the-client"
REDIRECT = f"{ORIGIN}/oauth2/callback"
PASSWORD = "right horse"
ASKED = {
    "client_id": CLIENT,
    "redirect_uri": REDIRECT,
    "response_type": "code",
    "scope": "openid email groups profile",
    "state": "a-state:/",
    "nonce": "a-nonce",
    "code_challenge": "a-challenge",
    "code_challenge_method": "S256",
}


@dataclass
class Seen:
    """What reached Vault: (method, path without query), queries of authorize, revoked tokens."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    authorize: dict[str, str] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    broken: bool = False


@dataclass
class Clock:
    now: float = 1_000_000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def address(seen: Seen, authority: pki.Authority, tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(seen))
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(address: str, authority: pki.Authority) -> Config:
    return Config(address, str(authority.ca_file), CLIENT, REDIRECT, b"k" * 32)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def browser(config: Config, clock: Clock) -> FlaskClient:
    counts = guesses.Guesses(clock)
    app = application.create(
        config, seal=form.Seal(config.key, clock), counts=counts, pause=clock.pauses.append
    )
    return app.test_client()


def test_right_password_brings_code_and_state_back(browser: FlaskClient, seen: Seen) -> None:
    answer = sign_in(browser, "ada", PASSWORD)
    assert answer.status_code == 303
    where = urllib.parse.urlsplit(answer.location)
    assert f"{where.scheme}://{where.netloc}{where.path}" == REDIRECT
    assert dict(urllib.parse.parse_qsl(where.query)) == {"code": "the-code", "state": "a-state:/"}
    assert seen.authorize == ASKED


def test_token_is_revoked_whatever_happens(browser: FlaskClient, seen: Seen) -> None:
    sign_in(browser, "ada", PASSWORD)
    sign_in(browser, "nogroup", PASSWORD)
    assert seen.revoked == ["token-of-ada", "token-of-nogroup"]


def test_denials_look_alike(browser: FlaskClient) -> None:
    names = ("ada", "nobody", "former", "nogroup")
    answers = [sign_in(browser, name, PASSWORD if name != "ada" else "wrong") for name in names]
    assert {answer.status_code for answer in answers} == {401}
    assert len({without_seal(answer.text) for answer in answers}) == 1
    assert len({tuple(sorted(dict(answer.headers))) for answer in answers}) == 1
    assert "do not match" in answers[0].text


def test_odd_names_never_become_a_path_at_vault(browser: FlaskClient, seen: Seen) -> None:
    for name in (
        "../../../sys/seal",
        "..",
        "a/b",
        "a%2fb",
        "ada?x=1",
        "ada#",
        "\u00e4da",
        "o'brien",  # Vault's own method has no route for it, and would say 500
        "ada@example",
        "a" * 65,
    ):
        answer = sign_in(browser, name, PASSWORD)
        assert answer.status_code == 401
        assert "do not match" not in answer.text  # nobody has such a name, and it may well match
        assert "letters a to z" in answer.text
    assert seen.calls == []


MUELLER = "m\u00fcller"


@pytest.fixture
def at_directory(config: Config, clock: Clock) -> FlaskClient:
    """A browser where people are in a directory."""
    ldap = replace(config, auth_path="auth/ldap")
    counts = guesses.Guesses(clock)
    app = application.create(
        ldap, seal=form.Seal(ldap.key, clock), counts=counts, pause=clock.pauses.append
    )
    return app.test_client()


@pytest.mark.parametrize(
    "written", [MUELLER, "mu\u0308ller", "M\u00dcLLER", "\uff4d\u00fcller", f" {MUELLER} "]
)
def test_in_a_directory_a_name_has_any_letters_and_is_one_however_it_is_written(
    at_directory: FlaskClient, seen: Seen, written: str
) -> None:
    assert sign_in(at_directory, written, PASSWORD).status_code == 303
    asked = urllib.parse.unquote(seen.calls[0][1])
    assert asked.lower() == f"/v1/auth/ldap/login/{MUELLER}"
    assert unicodedata.is_normalized("NFC", asked)


def test_in_a_directory_nobody_has_a_name_that_hides_or_deceives(
    at_directory: FlaskClient, seen: Seen
) -> None:
    hidden = ("a\u200bda", "ada\u200f", "\u202eada", "\u3164", "\u0308", "a\u200dda", "\ufb01x")
    for name in (*hidden, "ada lovelace", "../x", "..", "a/b", "a%2fb", "ada?", "a" * 65, ""):
        answer = sign_in(at_directory, name, PASSWORD)
        assert answer.status_code == 401, ascii(name)
        assert "do not match" not in answer.text
        assert "names here have letters, digits" in answer.text
    assert seen.calls == []


def test_all_ways_to_write_a_name_share_its_wrong_passwords(at_directory: FlaskClient) -> None:
    ways = (MUELLER, "mu\u0308ller", "M\u00dcLLER", "MU\u0308LLER", "\uff2d\u00fcller")
    assert [sign_in(at_directory, way, "wrong").status_code for way in ways] == [401] * 5
    assert sign_in(at_directory, MUELLER, PASSWORD).status_code == 429


@pytest.mark.parametrize(("took", "in_all"), [(0.02, 0.5), (0.31, 0.5), (0.5, 0.5), (0.74, 1.0)])
def test_the_duration_of_a_denial_reveals_nothing(took: float, in_all: float) -> None:
    assert took + application.rest_of_step(took) == pytest.approx(in_all)


def test_every_denial_and_nothing_else_is_delayed(browser: FlaskClient, clock: Clock) -> None:
    sign_in(browser, "ada", PASSWORD)
    sign_in(browser, "a/b", PASSWORD)
    assert clock.pauses == []
    sign_in(browser, "ada", "wrong")
    (pause,) = clock.pauses
    assert 0 <= pause <= 0.5


def test_an_unavailable_vault_is_reported_in_words(browser: FlaskClient, seen: Seen) -> None:
    seen.broken = True
    answer = sign_in(browser, "ada", PASSWORD)
    assert answer.status_code == 503
    assert "not possible right now" in answer.text
    assert answer.headers["Retry-After"]


def test_vault_with_a_foreign_certificate_gets_no_password(
    config: Config, seen: Seen, tmp_path: Path
) -> None:
    other = pki.Authority.load_or_create(tmp_path / "other")
    foreign = Config(config.vault_address, str(other.ca_file), CLIENT, REDIRECT, config.key)
    answer = sign_in(application.create(foreign).test_client(), "ada", PASSWORD)
    assert answer.status_code == 503
    assert seen.calls == []


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"redirect_uri": "https://evil.example/oauth2/callback"},
        {"redirect_uri": f"{REDIRECT}/../elsewhere"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"state": ""},
        {"scope": "email"},
        {"state": "x" * 2000},
        {"state": "a\r\nb"},
    ],
)
def test_requests_of_others_are_refused(
    browser: FlaskClient, seen: Seen, change: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        answer = browser.open(url(**change), method=method, data={"username": "ada"})
        assert answer.status_code == 400
        assert "Location" not in answer.headers
        assert "evil" not in answer.text
    assert seen.calls == []


def test_a_parameter_sent_twice_is_refused(browser: FlaskClient) -> None:
    assert browser.get(url() + "&client_id=another").status_code == 400


def test_unknown_parameters_are_dropped(browser: FlaskClient, seen: Seen) -> None:
    answer = sign_in(browser, "ada", PASSWORD, where=url(approval_prompt="force", max_age="0"))
    assert answer.status_code == 303
    assert seen.authorize == ASKED


def test_form_of_another_browser_is_refused(browser: FlaskClient, seen: Seen) -> None:
    stolen = seal_in(browser.get(url()).text)
    other = browser.application.test_client()
    other.get(url(), base_url="https://localhost")
    refused = post(other, url(), "ada", PASSWORD, stolen)
    assert refused.status_code == 403
    assert seen.calls == []


@pytest.mark.parametrize("seal", ["", "x", "1.2", f"1000000.{'0' * 64}"])
def test_forged_form_is_refused(browser: FlaskClient, seen: Seen, seal: str) -> None:
    browser.get(url(), base_url="https://localhost")
    assert post(browser, url(), "ada", PASSWORD, seal).status_code == 403
    assert seen.calls == []


def test_form_for_another_request_is_refused(browser: FlaskClient, seen: Seen) -> None:
    seal = seal_in(browser.get(url(), base_url="https://localhost").text)
    assert post(browser, url(state="another"), "ada", PASSWORD, seal).status_code == 403
    assert seen.calls == []


def test_form_open_for_too_long_is_offered_again(browser: FlaskClient, clock: Clock) -> None:
    seal = seal_in(browser.get(url(), base_url="https://localhost").text)
    clock.now += form.LIFE + 1
    late = post(browser, url(), "ada", PASSWORD, seal)
    assert late.status_code == 403
    assert "open for too long" in late.text
    assert post(browser, url(), "ada", PASSWORD, seal_in(late.text)).status_code == 303


def test_form_without_cookie_is_refused(browser: FlaskClient) -> None:
    seal = seal_in(browser.get(url(), base_url="https://localhost").text)
    assert post(browser.application.test_client(), url(), "ada", PASSWORD, seal).status_code == 403


def test_cookie_and_headers(browser: FlaskClient) -> None:
    answer = browser.get(url(), base_url="https://localhost")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/login"))
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_page_needs_nothing_from_elsewhere_and_no_script(browser: FlaskClient) -> None:
    text = browser.get(url()).text
    assert "<script" not in text
    assert "http" not in re.sub(r'action="[^"]*"', "", text)
    for label in re.findall(r'for="(\w+)"', text):
        assert f'id="{label}"' in text
    for asset in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert browser.get(asset).status_code == 200


def test_passwords_and_tokens_are_never_logged(
    browser: FlaskClient, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sign_in(browser, "ada", PASSWORD)
    sign_in(browser, "hunter2-in-the-wrong-field", "also secret")
    seen.broken = True
    sign_in(browser, "ada", PASSWORD)
    text = "\n".join(str(vars(record)) for record in caplog.records if record.name != "werkzeug")
    for secret in (PASSWORD, "also secret", "hunter2", "token-of-ada", "the-code", "a-state"):
        shown = [line for line in text.splitlines() if secret in line and "urllib3" not in line]
        assert not shown, shown
    assert "'user': 'ada'" in text


def test_a_large_body_is_refused(browser: FlaskClient) -> None:
    browser.get(url(), base_url="https://localhost")
    assert post(browser, url(), "ada", "x" * 40_000, "seal").status_code == 413


def test_health_is_outside_the_public_prefix(browser: FlaskClient) -> None:
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/login/healthz").status_code == 404
    assert browser.get("/login/static/../app.py").status_code == 404


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(ValueError, match="less than 32"):
        Config.from_environment({"LOGIN_KEY_FILE": str(tmp_path / "key")})


def wrong(browser: FlaskClient, times: int, name: str = "ada") -> list[int]:
    return [sign_in(browser, name, "wrong").status_code for _ in range(times)]


def test_wrong_passwords_are_slowed_down_and_then_not_checked(
    browser: FlaskClient, seen: Seen, clock: Clock
) -> None:
    assert wrong(browser, 10) == [401] * 5 + [429] * 5
    assert len(seen.calls) == 5
    held_up = sign_in(browser, "Ada", PASSWORD)  # whoever it is, and however the name is written
    assert (held_up.status_code, held_up.headers["Retry-After"]) == (429, "1")
    assert "wait 1 seconds" in held_up.text
    assert "do not match" not in held_up.text
    for delay in (1, 2, 4, 8, 16, 32, 60, 60):
        clock.now += delay - 0.5
        assert wrong(browser, 1) == [429]
        clock.now += 0.5
        assert wrong(browser, 1) == [401]
    clock.now += 60
    assert sign_in(browser, "ada", PASSWORD).status_code == 303
    assert wrong(browser, 5) == [401] * 5  # a right one gives all tries back


def test_nobody_is_delayed_by_guesses_from_elsewhere(browser: FlaskClient, clock: Clock) -> None:
    elsewhere = browser.application.test_client()
    elsewhere.environ_base["HTTP_X_REAL_IP"] = "203.0.113.9"
    assert wrong(browser, 6)[-1] == 429
    assert sign_in(browser, "nogroup", "wrong").status_code == 401  # another name, from there
    assert sign_in(elsewhere, "ada", PASSWORD).status_code == 303


def test_a_known_browser_is_not_delayed_by_a_stranger_at_its_address(browser: FlaskClient) -> None:
    own = browser.application.test_client()
    assert sign_in(own, "ada", PASSWORD).status_code == 303
    assert wrong(browser, 300)[-1] == 429  # the same address
    assert sign_in(own, "ada", PASSWORD).status_code == 303
    assert wrong(own, 6) == [401] * 5 + [429]  # it has its own count
    assert sign_in(own, "nogroup", "wrong").status_code == 401


def test_a_browser_is_known_for_one_name_by_a_signed_cookie(config: Config) -> None:
    known = guesses.Known(config.key)
    cookie = known.make("ada")
    assert known.place(cookie, "Ada") == cookie.partition(".")[0]
    nonce, _, mac = cookie.partition(".")
    for forged in (None, "", "x", nonce, f"{nonce}.{'0' * 64}", f"{'A' * 43}.{mac}", cookie + "0"):
        assert known.place(forged, "ada") is None
    assert known.place(cookie, "devon") is None
    assert guesses.Known(b"z" * 32).place(cookie, "ada") is None


def test_under_attack_from_everywhere_each_place_has_one_free_try(clock: Clock) -> None:
    counts = guesses.Guesses(clock)
    for number in range(guesses.GUESSED_AT):
        assert counts.attempt("ada", f"address {number}", known=False) == 0
    assert counts.attempt("ada", "address new", known=False) == 0
    assert counts.attempt("ada", "address new", known=False) > 0
    assert [counts.attempt("ada", "browser", known=True) for _ in range(6)] == [0] * 5 + [1]
    assert [counts.attempt("vera", "address new", known=False) for _ in range(5)] == [0] * 5
    clock.now += guesses.FORGOTTEN_AFTER + 1
    assert [counts.attempt("ada", "address new", known=False) for _ in range(5)] == [0] * 5


def test_concurrent_attempts_count_like_consecutive_ones(clock: Clock) -> None:
    counts = guesses.Guesses(clock)
    waits = [counts.attempt("ada", "here", known=False) for _ in range(50)]
    assert waits.count(0) == guesses.FREE


def test_an_unanswered_attempt_is_not_a_wrong_password(browser: FlaskClient, seen: Seen) -> None:
    seen.broken = True
    assert wrong(browser, 20) == [503] * 20


def test_counts_are_bounded(clock: Clock) -> None:
    counts = guesses.Guesses(clock)
    for number in range(guesses._MOST + 10):
        counts.attempt(f"name {number}", "here", known=False)
    assert len(counts._places) == len(counts._names) == guesses._MOST


def url(**changes: str) -> str:
    return "/login/authorize?" + urllib.parse.urlencode({**ASKED, **changes})


def seal_in(page: str) -> str:
    match = re.search(r'name="form" value="([^"]+)"', page)
    assert match, page
    return html.unescape(match[1])


def without_seal(page: str) -> str:
    return page.replace(seal_in(page), "")


def sign_in(browser: FlaskClient, name: str, password: str, where: str = "") -> TestResponse:
    where = where or url()
    page = browser.get(where, base_url="https://localhost")
    return post(browser, where, name, password, seal_in(page.text))


def post(browser: FlaskClient, where: str, name: str, password: str, seal: str) -> TestResponse:
    data = {"username": name, "password": password, "form": seal}
    return browser.post(where, data=data, base_url="https://localhost")


def _handler(seen: Seen) -> type[http.server.BaseHTTPRequestHandler]:
    class Vault(http.server.BaseHTTPRequestHandler):
        """Answers as Vault 1.21 does, in shape and status."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            where = self._enter()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if where.path == "/v1/auth/token/revoke-self":
                seen.revoked.append(self.headers["X-Vault-Token"])
                self._say(204)
                return
            method, _, name = urllib.parse.unquote(where.path[len("/v1/auth/") :]).partition(
                "/login/"
            )
            if method == "userpass" and not re.fullmatch(r"\w(([\w.-]+)?\w)?", name, re.ASCII):
                why = "failed to determine alias name from login request"
                self._say(500, {"errors": [why]})
                return
            right = json.loads(body) == {"password": PASSWORD}
            if seen.broken:
                self._say(503, {"errors": ["Vault is sealed"]})
            elif name == "former" and right:
                self._say(403, {"errors": ["permission denied"]})
            elif name.lower() in ("ada", "nogroup", MUELLER) and right:
                self._say(200, {"auth": {"client_token": f"token-of-{name}"}})
            else:
                self._say(400, {"errors": ["invalid username or password"]})

        def do_GET(self) -> None:
            where = self._enter()
            seen.authorize = dict(urllib.parse.parse_qsl(where.query))
            if self.headers["X-Vault-Token"] == "token-of-nogroup":
                self._say(400, {"error": "access_denied", "error_description": "not assigned"})
            else:
                self._say(200, {"code": "the-code", "state": seen.authorize["state"]})

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _enter(self) -> urllib.parse.SplitResult:
            where = urllib.parse.urlsplit(self.path)
            seen.calls.append((self.command, where.path))
            return where

        def _say(self, status: int, body: object = None) -> None:
            raw = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Vault
