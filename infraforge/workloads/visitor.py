"""A client of the front door: with cookies, trusting the platform CA alone, without scripts.

    NoAnswer            Inconclusive: no connection, a rate limit, a server that could not answer

Every other status is an answer, which the caller judges.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from infraforge.errors import Inconclusive
from infraforge.wait import Deadline

T = TypeVar("T")

TIMEOUT = 30.0
PATIENCE = 15.0
TOO_MANY = 429
_SAY_NOTHING = {
    TOO_MANY: "the rate limit was met",
    502: "nothing answered behind it",
    503: "the service is unavailable",
    504: "no answer came in time",
}


class NoAnswer(Inconclusive, requests.ConnectionError):
    """The question got no answer: neither yes nor no."""


class _Later(NoAnswer):
    """The server asks to come back later."""


@dataclass(frozen=True)
class Answer:
    """An answer to a request sent exactly as given. headers: names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of the first header with this name; empty where there is none."""
        return next((value for key, value in self.headers if key == name.lower()), "")


class Visitor(requests.Session):
    """A requests.Session that takes paths as URLs, and follows no redirect unless told to.

    The environment (proxies, CA bundles, .netrc) has no influence. Not thread-safe.
    """

    def __init__(self, origin: str, ca_file: Path, timeout: float = TIMEOUT) -> None:
        super().__init__()
        self.origin = origin.rstrip("/")
        self.timeout = timeout
        self.trust_env = False
        self.verify = str(ca_file)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self.timeout)
        kwargs.setdefault("allow_redirects", False)
        target = self.origin + url if url.startswith("/") else url
        return super().request(method, target, *args, **kwargs)

    def get(self, url: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("allow_redirects", False)  # requests' own default is True
        return super().get(url, **kwargs)

    def ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """The answer, if there is one. Raises NoAnswer for what says neither yes nor no.

        After a 429 (nothing was done) it waits and asks again.
        """

        def once() -> requests.Response:
            try:
                answer = self.request(method, path, **kwargs)
            except requests.RequestException as error:
                raise NoAnswer(f"{method} {path}: {type(error).__name__}: {error}") from error
            _settle(answer.status_code, f"{method} {path}")
            return answer

        return _patiently(once)

    def cookie_header(self) -> str:
        """All cookies as the header that carries them."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)

    def twin(self) -> Visitor:
        """Another visitor with a copy of this one's cookies, as a thief would have."""
        other = Visitor(self.origin, Path(str(self.verify)), self.timeout)
        for cookie in self.cookies:
            other.cookies.set_cookie(cookie)
        return other


def send_as_is(
    origin: str, ca_file: Path, target: str, headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    """GET with a request target and headers exactly as given.

    Raises NoAnswer, and waits after a 429, like `Visitor.ask`.
    """
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    sent = tuple(headers)

    def once() -> Answer:
        connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, timeout=TIMEOUT, context=trust
        )
        try:
            connection.putrequest("GET", target, skip_accept_encoding=True)
            for name, value in sent:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"GET {target}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        _settle(answer.status, f"GET {target}")
        lower_case = tuple((name.lower(), value) for name, value in answer.getheaders())
        return Answer(answer.status, lower_case, body)

    return _patiently(once)


def _settle(status: int, question: str) -> None:
    if status == TOO_MANY:
        raise _Later(f"{question}: {status}, {_SAY_NOTHING[status]}")
    if status in _SAY_NOTHING:
        raise NoAnswer(f"{question}: {status}, {_SAY_NOTHING[status]}")


def _patiently(once: Callable[[], T]) -> T:
    """The result of `once`; called again after each _Later until the patience runs out.

    `TIMEOUT` bounds how long one answer takes; the patience is for asking again.
    """
    deadline = Deadline(PATIENCE)
    while True:
        try:
            return once()
        except _Later as error:
            if deadline.passed:
                raise NoAnswer(
                    f"still no answer after asking again for {PATIENCE:g} s: {error}"
                ) from error
        deadline.pause(1.0)
