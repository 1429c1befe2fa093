"""Conditional and range requests (RFC 9110, 13 and 14): each is honoured or refused.

    a malformed or unknown condition                        400
    Content-Range, or Range on a change                     400   nothing is stored in parts
    Expect other than 100-continue                          417
    a condition that does not hold                          412, or 304 for GET and HEAD
    a condition on a change to a resource without version   412   it cannot be shown to hold
    a range that cannot be satisfied                        416

Every JSON answer to GET carries an ETag; where the route sets none, it is a hash of the body. A
change checks its condition in the transaction that makes it (`Conditions.require`), against the
locked row. Dates are compared to the microsecond. No Last-Modified is sent, because two changes can
fall into one second. Reads of a resource without a date (a list) ignore conditions on dates
(13.1.3).
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import flask
from werkzeug.http import parse_date

from infraforge_shared import problems
from infraforge_shared.problems import Problem

SAFE = ("GET", "HEAD")
_OPAQUE = r'"[\x21\x23-\x7e\x80-\xff]*"'
_TAG = re.compile(rf"(?:W/)?{_OPAQUE}")
# each blank and comma matches in one way only, so no text makes this slow
_TAGS = re.compile(rf"[ \t,]*(?:W/)?{_OPAQUE}(?:[ \t]*,(?:[ \t]*(?:W/)?{_OPAQUE})?)*[ \t]*")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"\d\d:\d\d:\d\d"
_DATES = re.compile(  # the three forms of RFC 9110, 5.6.7
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d {_MONTH} \d{{4}} {_TIME} GMT"
    rf"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-{_MONTH}-\d\d {_TIME} GMT"
    rf"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} [ \d]\d {_TIME} \d{{4}}",
    re.ASCII,
)
_ONE_RANGE = r"(?:\d{1,18}-\d{0,18}|-\d{1,18})"
_RANGES = re.compile(rf"[ \t]*{_ONE_RANGE}(?:[ \t]*,[ \t]*{_ONE_RANGE})*[ \t]*", re.ASCII)
_UNIT = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(.*)", re.ASCII | re.DOTALL)
_KNOWN = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"}
)


def etag(*parts: object) -> str:
    """A strong entity tag, made of the parts that identify a representation."""
    return '"' + "-".join(str(part) for part in parts) + '"'


@dataclass(frozen=True)
class Conditions:
    """The conditions of one request; None where it does not send that header.

    match, none_match: entity tags, `*` for any. unmodified_since, modified_since: moments (UTC).
    if_range: a tag or a date, as it was sent.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None
    unmodified_since: datetime.datetime | None = None
    modified_since: datetime.datetime | None = None
    if_range: str | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Conditions:
        """Parse the headers. Raises Problem 400 for a malformed one."""
        return cls(
            _tags("If-Match", headers.get("If-Match")),
            _tags("If-None-Match", headers.get("If-None-Match")),
            _date("If-Unmodified-Since", headers.get("If-Unmodified-Since")),
            _date("If-Modified-Since", headers.get("If-Modified-Since")),
            _tag_or_date(headers.get("If-Range")),
        )

    @property
    def on_a_change(self) -> bool:
        """Whether a change must check a condition first. If-Modified-Since is for reads only."""
        return not (self.match is self.none_match is self.unmodified_since is None)

    def fails(self, tag: str | None, at: datetime.datetime | None = None) -> str:
        """The header whose condition does not hold for a change; empty where all do.

        tag: the resource's strong entity tag, None if it does not exist; at: its last change.
        """
        failed = self._not_as_it_was(tag, at, undated=False)
        if failed:
            return failed
        if self.none_match is not None and tag is not None and _weakly(tag, self.none_match):
            return "If-None-Match"
        return ""

    def require(
        self,
        tag: str | None,
        at: datetime.datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Raise Problem 412 (with these headers) if the conditions forbid a change."""
        failed = self.fails(tag, at)
        if failed:
            there = f"the current version is {tag}" if tag else "nothing exists here"
            raise Problem(
                412,
                f"{failed} does not hold: {there}",
                {**(headers or {}), **({"ETag": tag} if tag else {})},
            )

    def answer(self, tag: str, at: datetime.datetime | None = None) -> int:
        """The status for a read: 200, 304, or 412."""
        if self._not_as_it_was(tag, at, undated=True):
            return 412
        if self.none_match is not None:
            return 304 if _weakly(tag, self.none_match) else 200
        if self.modified_since is not None and at is not None and at <= self.modified_since:
            return 304
        return 200

    def _not_as_it_was(self, tag: str | None, at: datetime.datetime | None, undated: bool) -> str:
        """The header that requires another state; If-Match takes precedence over a date (13.2.2).

        undated: whether a condition on a date holds for a resource without one.
        """
        if self.match is not None:
            there = tag is not None and (self.match == ("*",) or tag in self.match)
            return "" if there else "If-Match"
        if self.unmodified_since is not None:
            holds = undated if at is None else at <= self.unmodified_since
            return "" if holds else "If-Unmodified-Since"
        return ""

    def takes_range(self, tag: str) -> bool:
        """Whether a range of the version with this tag may be sent. No date is exact enough."""
        return self.if_range is None or self.if_range == tag


@dataclass(frozen=True)
class Span:
    """`length` bytes from `start`."""

    start: int
    length: int

    def told(self, size: int) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def span(text: str | None, size: int) -> Span | None:
    """The one range of `size` bytes that a Range header asks for; None for all of it.

    Raises Problem 400 for a malformed header, 416 for a range out of bounds or for several.
    """
    unit = _UNIT.fullmatch(text) if text is not None else None
    if text is None or (unit and unit[1].lower() != "bytes"):
        return None  # RFC 9110, 14.2: ignore an unknown unit
    if unit is None or not _RANGES.fullmatch(unit[2]):
        raise Problem(400, "Range is malformed")
    if "," in unit[2]:
        raise Problem(416, "only one range is served", {"Content-Range": f"bytes */{size}"})
    first, last = unit[2].strip(" \t").split("-")
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            raise Problem(400, "Range ends before it begins")
    else:
        start, end = max(0, size - int(last)), size - 1
    if start >= size or end < start:
        raise Problem(416, f"the size is {size} bytes", {"Content-Range": f"bytes */{size}"})
    return Span(start, end - start + 1)


def enter(versioned: Iterable[tuple[str, str]]) -> None:
    """Refuse headers that no route honours; keep the conditions in `flask.g.conditions`.

    versioned: (method, route) of the changes that check their conditions themselves.
    """
    request = flask.request
    headers = request.headers
    expected = headers.get("Expect")
    if expected is not None and expected.strip().lower() != "100-continue":
        raise Problem(417, "Expect may only be 100-continue")
    if "Content-Range" in headers:
        whole = "nothing is stored in parts: send all of it, without Content-Range"
        raise Problem(400, whole, _over())
    for name in headers.keys():  # noqa: SIM118  iterating gives pairs
        lower = name.lower()
        if lower == "if" or (lower.startswith("if-") and lower not in _KNOWN):
            raise Problem(400, f"unknown condition {name}", _over())
    flask.g.conditions = conditions = Conditions.read(headers)
    if request.method in SAFE:
        return
    if "Range" in headers or conditions.if_range is not None:
        raise Problem(400, "Range and If-Range are for reads only", _over())
    if conditions.modified_since is not None:
        raise Problem(400, "If-Modified-Since is for reads; use If-Unmodified-Since", _over())
    rule = request.url_rule
    if conditions.on_a_change and rule and (request.method, rule.rule) not in set(versioned):
        raise Problem(412, "no condition can be checked: this resource has no version", _over())


def given() -> Conditions:
    """The conditions of the current request."""
    found = flask.g.get("conditions")
    return found if isinstance(found, Conditions) else Conditions()


def changed_at(moment: datetime.datetime) -> None:
    """Set when the resource being read last changed; conditions on dates compare with it."""
    flask.g.changed_at = moment


def leave(made: flask.Response) -> flask.Response:
    """Give the answer to a read its ETag; turn it into 304 or 412 where the conditions say so."""
    if flask.request.method not in SAFE or made.status_code != 200 or "conditions" not in flask.g:
        return made
    tag = made.headers.get("ETag")
    if tag is None:
        if made.is_streamed:
            return made
        tag = etag(hashlib.sha256(made.get_data()).hexdigest()[:32])
        made.headers["ETag"] = tag
    made.headers.setdefault("Accept-Ranges", "none")
    status = given().answer(tag, flask.g.get("changed_at"))
    if status == 200:
        return made
    kept = {name: made.headers[name] for name in ("ETag", "X-Cache") if name in made.headers}
    made.close()
    return instead(status, tag, kept)


def instead(status: int, tag: str, headers: Mapping[str, str] | None = None) -> flask.Response:
    """The answer to a read whose conditions withhold the body: 304 or 412."""
    told = {"ETag": tag, **(headers or {})}
    if status == 304:
        return flask.Response(status=304, headers=told)
    return problems.response(Problem(412, f"the current version is {tag}", told))


def _over() -> dict[str, str]:
    """Close the connection of a change, since nobody reads the rest of its body."""
    return {"Connection": "close"} if flask.request.method not in SAFE else {}


def _weakly(tag: str, tags: tuple[str, ...]) -> bool:
    return tags == ("*",) or tag in {other.removeprefix("W/") for other in tags}


def _tags(name: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.strip(" \t") == "*":
        return ("*",)
    if not _TAGS.fullmatch(text):
        raise Problem(400, f'{name} is neither * nor a list of entity tags ("…")', _over())
    return tuple(_TAG.findall(text))


def _date(name: str, text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    found = parse_date(text.strip(" \t")) if _DATES.fullmatch(text.strip(" \t")) else None
    if found is None:
        raise Problem(400, f"{name} is not an HTTP date", _over())
    return found


def _tag_or_date(text: str | None) -> str | None:
    if text is None:
        return None
    text = text.strip(" \t")
    if not _TAG.fullmatch(text):
        _date("If-Range", text)
    return text
