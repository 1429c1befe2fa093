"""The front door as people use it: signing in step by step or in one go, and signing out.

    SignInDenied        Broken: the login page denied the sign-in; tests of denials catch it
    Unexpected          Inconclusive: any other answer than the step's own

A server's failure never counts as a denial.
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
    """The login page answered that name and password do not match. answer: its whole answer."""

    def __init__(self, user: str, answer: requests.Response) -> None:
        super().__init__(f"the login page denied {user!r}")
        self.answer = answer


class Unexpected(Inconclusive):
    """An answer that the step does not allow for."""

    def __init__(self, step: str, answer: requests.Response) -> None:
        where = answer.headers.get("Location", "")
        text = " ".join(answer.text.split())[:200]
        super().__init__(f"{step}: {answer.status_code} {where} {text}".rstrip())
        self.status = answer.status_code


@dataclass(frozen=True)
class Callback:
    """The callback URL to which the login page sends the browser after a sign-in."""

    url: str
    code: str = field(repr=False)
    state: str

    @classmethod
    def parse(cls, url: str) -> Callback | None:
        """The parts of a callback's URL; None for any other URL."""
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
    """One sign-in under way in one browser. visitor: that browser."""

    def __init__(self, who: visitor.Visitor, form: Form) -> None:
        self.visitor = who
        self.form = form

    def post(self, user: str, password: str) -> requests.Response:
        """Send the form; returns the login page's answer, whatever it is. Raises NoAnswer.

        A 429 is waited for and asked again, as a person would. Who looks for it: `post_once`.
        """
        return self.visitor.ask("POST", self.form.action, data=self._filled(user, password))

    def post_once(self, user: str, password: str) -> requests.Response:
        """Send the form, and take a 429 for an answer. Raises requests' exceptions."""
        return self.visitor.request("POST", self.form.action, data=self._filled(user, password))

    def _filled(self, user: str, password: str) -> dict[str, str]:
        return {**self.form.hidden, "username": user, "password": password}

    def submit(self, user: str, password: str) -> Callback:
        """Send the form.

        Raises SignInDenied when the page denies it, NoAnswer or Unexpected otherwise.
        """
        answer = self.post(user, password)
        if denies(answer):
            raise SignInDenied(user, answer)
        callback = Callback.parse(answer.headers.get("Location", ""))
        if answer.status_code != 303 or callback is None:
            raise Unexpected("the login form", answer)
        return callback

    def follow(self, url: str) -> requests.Response:
        """The callback's answer, whatever it is. Raises NoAnswer."""
        return self.visitor.ask("GET", url)

    def finish(self, url: str) -> visitor.Visitor:
        """Follow the callback to the requested page; returns the browser, now signed in."""
        answer = self.follow(url)
        if answer.status_code != 302 or not self.visitor.cookies.get(SESSION_COOKIE):
            raise Unexpected("the callback", answer)
        page = self.visitor.ask("GET", local(self.visitor.origin, answer))
        if page.status_code != 200:
            raise Unexpected("the page after signing in", page)
        return self.visitor


class FrontDoor:
    """The platform's entrance at `origin`, e.g. `https://127.0.0.1:8443`.

    ca_file: the only trusted CA; http_port: the port for plain http.
    """

    def __init__(self, origin: str, ca_file: Path, http_port: int = 8080) -> None:
        self.origin = origin.rstrip("/")
        self.ca_file = ca_file
        host = urllib.parse.urlsplit(self.origin).hostname
        self.plain_origin = f"http://{host}:{http_port}"

    def anonymous(self) -> visitor.Visitor:
        """A browser without cookies."""
        return visitor.Visitor(self.origin, self.ca_file)

    def begin(self, path: str = "/", who: visitor.Visitor | None = None) -> Attempt:
        """Go as far as the login form, with `path` as the page to return to."""
        return self.enter(f"{_START}?{urllib.parse.urlencode({'rd': path})}", who)

    def enter(self, start: str, who: visitor.Visitor | None = None) -> Attempt:
        """Go as far as the login form from `start`, where the front door sends strangers."""
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
        """Sign in completely. Raises SignInDenied; NoAnswer or Unexpected if nothing is known."""
        attempt = self.begin(path)
        return attempt.finish(attempt.submit(user, password).url)

    def sign_out(self, who: visitor.Visitor) -> None:
        """End the session as the dashboard's button does."""
        answer = who.ask("GET", _SIGN_OUT)
        if answer.status_code != 302:
            raise Unexpected("signing out", answer)

    def send_as_is(self, target: str, *headers: tuple[str, str]) -> visitor.Answer:
        """GET with a request target and headers exactly as given."""
        return visitor.send_as_is(self.origin, self.ca_file, target, headers)


def denies(answer: requests.Response) -> bool:
    """Whether the login page denies a sign-in: 401, with the form to try again."""
    return answer.status_code == 401 and Form.parse(answer.text) is not None


def seen_from_outside(answer: requests.Response) -> str:
    """Everything a denial reveals: status, header names, and the page without one-time parts."""
    page = answer.text
    form = Form.parse(page)
    for once in (form.action, *form.hidden.values()) if form else ():
        page = page.replace(html.escape(once), "(once)") if once else page
    names = ", ".join(sorted(name.lower() for name in answer.headers))
    return f"{answer.status_code}\n{names}\n{page}"


def local(origin: str, answer: requests.Response) -> str:
    """Path and query of a redirect's target; empty when it leaves `origin`."""
    location = answer.headers.get("Location", "")
    target = urllib.parse.urljoin(origin + "/", location.replace("\\", "/"))
    there, here = urllib.parse.urlsplit(target), urllib.parse.urlsplit(origin)
    if not location or (there.scheme, there.netloc) != (here.scheme, here.netloc):
        return ""
    return urllib.parse.urlunsplit(("", "", there.path or "/", there.query, ""))
