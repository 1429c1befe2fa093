"""How the front door treats a request, in words for a table's cells."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import TypeVar

import requests

from infraforge.table import Cell
from infraforge.workloads.front_door import SESSION_COOKIE
from infraforge.workloads.visitor import Answer, NoAnswer

T = TypeVar("T")

CONTENT = "content"
NO_CONTENT = "no content"
TO_LOGIN = "sent to login"
API_401 = "401 problem"
REFUSED = "refused"
SIGNED_IN = "signed in"
_START = "/oauth2/start"
# OAuth2 Proxy answers 500 when it cannot create a session from what it was given
_FAILED = 500
_REFUSALS = (400, 401, 403, 404, 500)


def observe(
    row: str, questions: Mapping[str, Callable[[], T]], treatment: Callable[[T], str]
) -> dict[tuple[str, str], Cell]:
    """Cells of a Table: (row, question) → treatment; None where a question got no answer."""
    cells: dict[tuple[str, str], Cell] = {}
    for question, ask in questions.items():
        try:
            cells[row, question] = treatment(ask())
        except NoAnswer:
            cells[row, question] = None
    return cells


def of_page(answer: requests.Response) -> str:
    """content, sent to login (with the requested page to return to), or another answer."""
    target = urllib.parse.urlsplit(answer.headers.get("Location", ""))
    if answer.status_code != 302 or target.path != _START:
        return _other(answer)
    asked = urllib.parse.urlsplit(answer.request.url or "")
    back = urllib.parse.parse_qs(target.query).get("rd", [""])[0]
    there = urllib.parse.urlsplit(back)
    same = (there.path, there.query) == (asked.path, asked.query)
    return TO_LOGIN if same else f"{TO_LOGIN}, then to {back!r}"


def of_api(answer: requests.Response) -> str:
    """content, 401 with a problem document, or another answer."""
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    if answer.status_code == 401 and kind == "application/problem+json":
        return API_401
    return _other(answer)


def of_hidden(answer: requests.Response | Answer) -> str:
    """Whether the answer gives anything away. Raises NoAnswer where the server failed."""
    status = answer.status if isinstance(answer, Answer) else answer.status_code
    if status >= _FAILED:
        raise NoAnswer(f"{status}: the server failed, which is not a refusal")
    return CONTENT if 200 <= status < 300 else NO_CONTENT


def of_callback(answer: requests.Response) -> str:
    """signed in, refused, or another answer."""
    if answer.cookies.get(SESSION_COOKIE):
        return SIGNED_IN
    return REFUSED if answer.status_code in _REFUSALS else _other(answer)


def of_session(answer: requests.Response) -> str:
    """signed in or refused, judged by the answer to an API call."""
    if answer.status_code == 200:
        return SIGNED_IN
    return REFUSED if answer.status_code == 401 else _other(answer)


def _other(answer: requests.Response) -> str:
    if 200 <= answer.status_code < 300:
        return CONTENT
    return f"{answer.status_code} {answer.headers.get('Location', '')}".rstrip()
