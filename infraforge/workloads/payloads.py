"""Texts sent to a place behind the front door, and whether they arrived.

    stopped       the front door itself says that it passed nothing on
    let through   the service behind it did as it was asked

Any other answer is neither and is reported as such: a denial by the backend is not the firewall's.
"""

from __future__ import annotations

import tomllib
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from infraforge.errors import UsageError
from infraforge.workloads.backend_client import Project
from infraforge.workloads.front_door import FrontDoor, denies
from infraforge.workloads.visitor import Answer, Visitor

STOPPED = "stopped"
LET_THROUGH = "let through"
# the front door's own words
_STOPPED = {403: "The firewall stopped this request", 400: "What was sent is malformed."}


@dataclass(frozen=True)
class Payload:
    """A text and its target. kind and name: together unique; place: one of `Sender`'s."""

    kind: str
    name: str
    place: str
    sent: str


def load(path: Path) -> tuple[Payload, ...]:
    """The payloads of a file: one array of tables per kind. UsageError for a malformed file."""
    payloads = []
    for kind, entries in tomllib.loads(path.read_text()).items():
        for entry in entries:
            if set(entry) != {"name", "place", "sent"} or entry["place"] not in PLACES:
                raise UsageError(f"{path}: {kind}: an entry needs name, place and sent: {entry}")
            payloads.append(Payload(kind, **entry))
    if len({(payload.kind, payload.name) for payload in payloads}) != len(payloads):
        raise UsageError(f"{path}: two payloads have the same name; rename one")
    return tuple(payloads)


class Sender:
    """A signed-in user who may write to `project`. session: theirs."""

    def __init__(self, front_door: FrontDoor, session: Visitor, project: Project) -> None:
        self._front_door = front_door
        self._session = session
        self._project = project

    def send(self, payload: Payload) -> str:
        """Send it; returns what happened. Raises NoAnswer for a rate limit or a missing service."""
        return became(PLACES[payload.place](self, payload.sent))

    def _description(self, text: str) -> requests.Response:
        body = {"name": self._project.name, "description": text}
        return self._session.ask("PUT", f"/api/projects/{self._project.id}", json=body)

    def _query(self, text: str) -> requests.Response:
        return self._session.ask("GET", "/api/me", params={"note": text})

    def _file(self, text: str) -> requests.Response:
        name = urllib.parse.quote(text, safe="")
        path = f"/api/projects/{self._project.id}/files/{name}"
        return self._session.ask("PUT", path, data=b"a file")

    def _path(self, text: str) -> Answer:
        return self._as_is(text)

    def _headers(self, text: str) -> Answer:
        lines = [line.split(": ", maxsplit=1) for line in text.split("\n")]
        return self._as_is("/api/me", *((name, value) for name, value in lines))

    def _cookie(self, text: str) -> Answer:
        return self._as_is("/api/me", cookie=f"; {text}")

    def _username(self, text: str) -> requests.Response:
        return self._front_door.begin().post(text, "not the password")

    def _as_is(self, target: str, *headers: tuple[str, str], cookie: str = "") -> Answer:
        cookies = ("Cookie", self._session.cookie_header() + cookie)
        return self._front_door.send_as_is(target, cookies, *headers)


PLACES: dict[str, Callable[[Sender, str], requests.Response | Answer]] = {
    "description": Sender._description,
    "query": Sender._query,
    "file": Sender._file,
    "path": Sender._path,
    "headers": Sender._headers,
    "cookie": Sender._cookie,
    "username": Sender._username,
}


def became(answer: requests.Response | Answer) -> str:
    """stopped, let through (a denial by the login page included), or the other answer."""
    if isinstance(answer, Answer):
        status, text = answer.status, answer.body.decode("utf-8", "replace")
    else:
        status, text = answer.status_code, answer.text
    if status in _STOPPED and _STOPPED[status] in text:
        return STOPPED
    denied = isinstance(answer, requests.Response) and denies(answer)  # by the login page
    return LET_THROUGH if 200 <= status < 300 or denied else f"answered {status}"
