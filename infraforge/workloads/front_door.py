"""The front door as people use it: signing in step by step or in one go, and signing out.

    SignInDenied        Broken: the login page said no; where a no is wanted, it is caught
    Unexpected          Inconclusive: any other answer than the step's own

A server's failure is never read as a no.
"""

from __future__ import annotations

import html
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import requests

from infraforge.components.login_form import Form
from infraforge.errors import Broken, Inconclusive
from infraforge.workloads import visitor

SESSION_COOKIE = "__Host-infraforge_session"
_START = "/oauth2/start"
_AUTHORIZE = "/login/authorize"
_CALLBACK = "/oauth2/callback"
_SIGN_OUT = "/oauth2/sign_out"


class SignInDenied(Broken):
    """The login page answered that name and password do not match. answer: all it said."""

    def __init__(self, user: str, answer: requests.Response) -> None:
        super().__init__(f"the login page denied {user!r}")
        self.answer = answer


class Unexpected(Inconclusive):
    """An answer that is none of the step's own."""

    def __init__(self, step: str, answer: requests.Response) -> None:
        where = answer.headers.get("Location", "")
        text = " ".join(answer.text.split())[:200]
        super().__init__(f"{step}: {answer.status_code} {where} {text}".rstrip())
        self.status = answer.status_code


@dataclass(frozen=True)
class Callback:
    """Where the login page sends the browser once it is content."""

    url: str
    code: str = field(repr=False)
    state: str

    @classmethod
    def parse(cls, url: str) -> Callback | None:
        """The parts of a callback's URL; None for another URL."""
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path != _CALLBACK or not query.get("code") or not query.get("state"):
            return None
        return cls(url, query["code"], query["state"])

    def forged(self, **changes: str) -> str:
        """The URL with `code` or `state` changed."""
        values = {"code": self.code, "state": self.state, **changes}
        return f"{_CALLBACK}?{urllib.parse.urlencode(values)}"


class Attempt:
    """One sign-in under way, as one browser sees it. visitor: that browser."""

    def __init__(self, who: visitor.Visitor, form: Form) -> None:
        self.visitor = who
        self.form = form

    def post(self, user: str, password: str) -> requests.Response:
        """Send the form; what the login page answers, whatever it is (but NoAnswer is raised)."""
        data = {**self.form.hidden, "username": user, "password": password}
        return self.visitor.ask("POST", self.form.action, data=data)

    def submit(self, user: str, password: str) -> Callback:
        """Send the form.

        Raises SignInDenied when the page says no, NoAnswer or Unexpected for all else.
        """
        answer = self.post(user, password)
        if denies(answer):
            raise SignInDenied(user, answer)
        callback = Callback.parse(answer.headers.get("Location", ""))
        if answer.status_code != 303 or callback is None:
            raise Unexpected("the login form", answer)
        return callback

    def follow(self, url: str) -> requests.Response:
        """What the callback answers, whatever it is (but NoAnswer is raised)."""
        return self.visitor.ask("GET", url)

    def finish(self, url: str) -> visitor.Visitor:
        """Follow the callback to the page that was asked for; the browser, now signed in."""
        answer = self.follow(url)
        if answer.status_code != 302 or not self.visitor.cookies.get(SESSION_COOKIE):
            raise Unexpected("the callback", answer)
        page = self.visitor.ask("GET", local(self.visitor.origin, answer))
        if page.status_code != 200:
            raise Unexpected("the page after signing in", page)
        return self.visitor


class FrontDoor:
    """The way in at `origin`, e.g. `https://127.0.0.1:8443`.

    ca_file: the one CA that is trusted; http_port: where plain http is answered.
    """

    def __init__(self, origin: str, ca_file: Path, http_port: int = 8080) -> None:
        self.origin = origin.rstrip("/")
        self.ca_file = ca_file
        host = urllib.parse.urlsplit(self.origin).hostname
        self.plain_origin = f"http://{host}:{http_port}"

    def anonymous(self) -> visitor.Visitor:
        """Somebody who never was here."""
        return visitor.Visitor(self.origin, self.ca_file)

    def begin(self, path: str = "/", who: visitor.Visitor | None = None) -> Attempt:
        """Go as far as the login form, on the way to `path`."""
        return self.enter(f"{_START}?{urllib.parse.urlencode({'rd': path})}", who)

    def enter(self, start: str, who: visitor.Visitor | None = None) -> Attempt:
        """Go as far as the login form, from where the front door sends those without a session."""
        who = who or self.anonymous()
        begun = who.ask("GET", start)
        login = local(self.origin, begun) if begun.status_code == 302 else ""
        if not login.startswith(_AUTHORIZE + "?"):
            raise Unexpected("the start of the sign-in", begun)
        page = who.ask("GET", login)
        form = Form.parse(page.text)
        if page.status_code != 200 or form is None:
            raise Unexpected("the login page", page)
        return Attempt(who, form)

    def sign_in(self, user: str, password: str, path: str = "/") -> visitor.Visitor:
        """The whole way; raises SignInDenied, or NoAnswer or Unexpected where nothing is known."""
        attempt = self.begin(path)
        return attempt.finish(attempt.submit(user, password).url)

    def sign_out(self, who: visitor.Visitor) -> None:
        """End the session as the dashboard's button does."""
        answer = who.ask("GET", _SIGN_OUT)
        if answer.status_code != 302:
            raise Unexpected("signing out", answer)

    def send_as_is(self, target: str, *headers: tuple[str, str]) -> visitor.Answer:
        """GET with a request target and headers that no library has tidied up."""
        return visitor.send_as_is(self.origin, self.ca_file, target, headers)


def denies(answer: requests.Response) -> bool:
    """Whether the login page says no: 401, with the form to try again."""
    return answer.status_code == 401 and Form.parse(answer.text) is not None


def seen_from_outside(answer: requests.Response) -> str:
    """All that a denial tells: status, headers' names, and the page without its one-time parts."""
    page = answer.text
    form = Form.parse(page)
    for once in (form.action, *form.hidden.values()) if form else ():
        page = page.replace(html.escape(once), "(once)") if once else page
    names = ", ".join(sorted(name.lower() for name in answer.headers))
    return f"{answer.status_code}\n{names}\n{page}"


def local(origin: str, answer: requests.Response) -> str:
    """Path and query that a redirect leads to; empty when it leads away from `origin`."""
    location = answer.headers.get("Location", "")
    target = urllib.parse.urljoin(origin + "/", location.replace("\\", "/"))
    there, here = urllib.parse.urlsplit(target), urllib.parse.urlsplit(origin)
    if not location or (there.scheme, there.netloc) != (here.scheme, here.netloc):
        return ""
    return urllib.parse.urlunsplit(("", "", there.path or "/", there.query, ""))
