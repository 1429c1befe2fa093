"""Whether the whole way in works: from outside, as a person uses it, several times in a row.

Every component may be ready while the front door's port does not lead to it yet, or one step of the
sign-in still meets a pod that is gone. So whoever changes what runs tests the whole way before
reporting the platform as open.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path

import requests

from infraforge.components import vault_identity
from infraforge.components.login_form import Form
from infraforge.components.site import Site
from infraforge.components.vault_identity import Identities
from infraforge.errors import Inconclusive
from infraforge.wait import wait_until

TIMES = 5
"""Consecutive times that strangers must reach the login page, each on a new connection."""
_TIMEOUT = 10.0
_START, _AUTHORIZE = "/oauth2/start", "/login/authorize"
_CALLBACK, _SIGN_OUT = "/oauth2/callback", "/oauth2/sign_out"


class NotOpen(Inconclusive):
    """A step of the way in got another answer than expected."""


def wait_open(site: Site, say: Callable[[str], None]) -> None:
    """Return once strangers reach the login page, and one of the platform's people can sign in.

    Limited by the profile's budget for a component. Raises TimedOut with the last thing seen.
    """
    say("waiting for it to open")
    who = Identities.load(site.tree).users[0].name
    in_a_row, before = 0, ""

    def is_open() -> bool:
        nonlocal in_a_row, before
        try:
            reach_login(site.origin, site.ca_file)
            in_a_row += 1
            if in_a_row >= TIMES:
                sign_in(site.origin, site.ca_file, who, vault_identity.password(site, who))
                return True
        except NotOpen as error:
            in_a_row, before = 0, f", after: {error}"
            raise
        raise NotOpen(f"the login page was reached {in_a_row} times in a row{before}")

    wait_until(
        is_open,
        site.profile.budgets.component,
        what=f"the way in at {site.origin} is open",
        ignoring=(NotOpen,),
    )


def reach_login(origin: str, ca_file: Path) -> None:
    """Go as far as the login page without a session. Raises NotOpen."""
    with _Person(origin, ca_file) as person:
        person.to_login()


def sign_in(origin: str, ca_file: Path, name: str, password: str) -> None:
    """Sign in, see the dashboard and one's identity, sign out. Raises NotOpen with the step."""
    with _Person(origin, ca_file) as person:
        form = person.to_login()
        data = {**form.hidden, "username": name, "password": password}
        person.follow("POST", form.action, _CALLBACK, 303, data=data)
        person.follow("GET", person.next, "/", 302)
        person.see("/", "text/html")
        person.see("/api/me", "application/json")
        person.follow("GET", _SIGN_OUT, "/", 302)


class _Person:
    """One browser with its cookies, trusting the platform CA alone. next: its next redirect."""

    def __init__(self, origin: str, ca_file: Path) -> None:
        self._origin = origin.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no other CA
        self._session.verify = str(ca_file)
        self.next = ""

    def __enter__(self) -> _Person:
        return self

    def __exit__(self, *_error: object) -> None:
        self._session.close()

    def to_login(self) -> Form:
        """Follow redirects from the dashboard's address to the password form, and return it."""
        self.follow("GET", "/", _START, 302)
        self.follow("GET", self.next, _AUTHORIZE, 302)
        page = self._ask("GET", self.next)
        form = Form.parse(page.text)
        if page.status_code != requests.codes.ok or form is None:
            raise NotOpen(f"GET {_AUTHORIZE}: {page.status_code}, without a password form")
        return form

    def follow(
        self, method: str, path: str, to: str, status: int, data: dict[str, str] | None = None
    ) -> None:
        """Send a request that must redirect to the path `to` of the same origin by this status."""
        answer = self._ask(method, path, data)
        target = urllib.parse.urlsplit(
            urllib.parse.urljoin(self._origin + "/", answer.headers.get("Location", ""))
        )
        here = f"{target.scheme}://{target.netloc}" == self._origin
        if answer.status_code != status or not here or not _leads(target.path, to):
            led = f" to {target.path}" if "Location" in answer.headers else ""
            raise NotOpen(
                f"{method} {_short(path)}: {answer.status_code}{led}, not {status} to {to}"
            )
        self.next = urllib.parse.urlunsplit(("", "", target.path or "/", target.query, ""))

    def see(self, path: str, kind: str) -> None:
        """Request something that exists for people with a session."""
        answer = self._ask("GET", path)
        content_type = answer.headers.get("Content-Type", "").partition(";")[0]
        if answer.status_code != requests.codes.ok or content_type != kind:
            raise NotOpen(f"GET {path}: {answer.status_code} {content_type}, with a session")

    def _ask(self, method: str, path: str, data: dict[str, str] | None = None) -> requests.Response:
        try:
            return self._session.request(
                method,
                self._origin + path,
                data=data,
                timeout=_TIMEOUT,
                allow_redirects=False,
                headers={"Accept": "text/html, application/json"},
            )
        except requests.RequestException as error:
            words = f"{type(error).__name__}: {error}"
            raise NotOpen(f"{method} {_short(path)}: {words[:300]}") from error


def _leads(path: str, to: str) -> bool:
    return path == to or (to == "/" and path in ("", "/"))


def _short(path: str) -> str:
    """The path without its query, which holds codes and states."""
    return path.partition("?")[0]
