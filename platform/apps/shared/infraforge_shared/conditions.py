"""Conditions and ranges of requests (RFC 9110, 13 and 14): honoured or refused, never lost.

    malformed, or of a kind that nobody here knows          400
    Content-Range, or Range on a change                     400   nothing is stored in parts
    Expect of anything but 100-continue                     417
    a condition that does not hold                          412, or 304 for GET and HEAD
    a condition on a change of what has no version          412   it cannot be shown to hold
    a range that cannot be had                              416

Every JSON answer to GET carries an ETag, made of the body where its route gives none. A change
takes its condition in the transaction that makes it (`Conditions.require`), against the locked row.
Dates are compared to the microsecond, and no Last-Modified is sent: two changes can be of one
second. Where what is read has no date (lists), conditions on dates are passed over (13.1.3).
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
# each blank and comma can be read in one way only: no text makes this slow
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
    """A strong entity tag of what makes a representation what it is."""
    return '"' + "-".join(str(part) for part in parts) + '"'


@dataclass(frozen=True)
class Conditions:
    """The conditions of one request; None is unsaid. match, none_match: entity tags, `*` for any.

    unmodified_since, modified_since: moments (UTC). if_range: a tag or a moment as it was sent.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None
    unmodified_since: datetime.datetime | None = None
    modified_since: datetime.datetime | None = None
    if_range: str | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Conditions:
        """What the header says; Problem 400 where it cannot be read."""
        return cls(
            _tags("If-Match", headers.get("If-Match")),
            _tags("If-None-Match", headers.get("If-None-Match")),
            _date("If-Unmodified-Since", headers.get("If-Unmodified-Since")),
            _date("If-Modified-Since", headers.get("If-Modified-Since")),
            _tag_or_date(headers.get("If-Range")),
        )

    @property
    def on_a_change(self) -> bool:
        """Whether a change has to look before it is made. If-Modified-Since is for reads alone."""
        return not (self.match is self.none_match is self.unmodified_since is None)

    def fails(self, tag: str | None, at: datetime.datetime | None = None) -> str:
        """Which header's condition does not hold for a change; empty where all do.

        tag: the strong entity tag of what is there, None where nothing is; at: its last change.
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
        """Problem 412 (with these headers) where a change must not be made to what is there."""
        failed = self.fails(tag, at)
        if failed:
            there = f"what is there is {tag}" if tag else "there is nothing"
            raise Problem(
                412,
                f"{failed} does not hold: {there}",
                {**(headers or {}), **({"ETag": tag} if tag else {})},
            )

    def answer(self, tag: str, at: datetime.datetime | None = None) -> int:
        """How a read is to be answered: 200, 304, or 412."""
        if self._not_as_it_was(tag, at, undated=True):
            return 412
        if self.none_match is not None:
            return 304 if _weakly(tag, self.none_match) else 200
        if self.modified_since is not None and at is not None and at <= self.modified_since:
            return 304
        return 200

    def _not_as_it_was(self, tag: str | None, at: datetime.datetime | None, undated: bool) -> str:
        """Which header wants another state than this; If-Match counts before a date (13.2.2).

        undated: whether a condition on a date holds for what has none.
        """
        if self.match is not None:
            there = tag is not None and (self.match == ("*",) or tag in self.match)
            return "" if there else "If-Match"
        if self.unmodified_since is not None:
            holds = undated if at is None else at <= self.unmodified_since
            return "" if holds else "If-Unmodified-Since"
        return ""

    def takes_range(self, tag: str) -> bool:
        """Whether a range may be sent of what has this tag. No date is exact enough for one."""
        return self.if_range is None or self.if_range == tag


@dataclass(frozen=True)
class Span:
    """`length` bytes from `start`."""

    start: int
    length: int

    def told(self, size: int) -> str:
        """As Content-Range tells it."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def span(text: str | None, size: int) -> Span | None:
    """The one range of `size` bytes that a Range header asks for; None for all of it.

    Problem 400 where it cannot be read, 416 where it cannot be had, or is more than one.
    """
    unit = _UNIT.fullmatch(text) if text is not None else None
    if text is None or (unit and unit[1].lower() != "bytes"):
        return None  # a unit that is not known is to be ignored
    if unit is None or not _RANGES.fullmatch(unit[2]):
        raise Problem(400, "Range cannot be read")
    if "," in unit[2]:
        raise Problem(416, "one range at a time", {"Content-Range": f"bytes */{size}"})
    first, last = unit[2].strip(" \t").split("-")
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            raise Problem(400, "Range ends before it begins")
    else:
        start, end = max(0, size - int(last)), size - 1
    if start >= size or end < start:
        raise Problem(416, f"there are {size} bytes", {"Content-Range": f"bytes */{size}"})
    return Span(start, end - start + 1)


def enter(versioned: Iterable[tuple[str, str]]) -> None:
    """Refuse what no route honours; keep the rest in `flask.g.conditions`.

    versioned: (method, route) of the changes that look at their conditions themselves.
    """
    request = flask.request
    headers = request.headers
    expected = headers.get("Expect")
    if expected is not None and expected.strip().lower() != "100-continue":
        raise Problem(417, "nothing but 100-continue can be expected here")
    if "Content-Range" in headers:
        whole = "nothing is taken in parts: send all of it, without Content-Range"
        raise Problem(400, whole, _over())
    for name in headers.keys():  # noqa: SIM118  pairs otherwise
        lower = name.lower()
        if lower == "if" or (lower.startswith("if-") and lower not in _KNOWN):
            raise Problem(400, f"the condition {name} is not known here", _over())
    flask.g.conditions = conditions = Conditions.read(headers)
    if request.method in SAFE:
        return
    if "Range" in headers or conditions.if_range is not None:
        raise Problem(400, "a range can be read, not changed", _over())
    if conditions.modified_since is not None:
        raise Problem(400, "If-Modified-Since is for reads; say If-Unmodified-Since", _over())
    rule = request.url_rule
    if conditions.on_a_change and rule and (request.method, rule.rule) not in set(versioned):
        raise Problem(412, "this has no version that a condition could be about", _over())


def given() -> Conditions:
    """The conditions of the request that is being answered."""
    found = flask.g.get("conditions")
    return found if isinstance(found, Conditions) else Conditions()


def changed_at(moment: datetime.datetime) -> None:
    """When what is being read was changed last: conditions on dates are about that moment."""
    flask.g.changed_at = moment


def leave(made: flask.Response) -> flask.Response:
    """Give a read's answer its ETag, and turn it into 304 or 412 where its conditions say so."""
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
    """The answer to a read that is not to have what is there: 304 or 412."""
    told = {"ETag": tag, **(headers or {})}
    if status == 304:
        return flask.Response(status=304, headers=told)
    return problems.response(Problem(412, f"what is there is {tag}", told))


def _over() -> dict[str, str]:
    """A body that nobody reads ends the connection."""
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
        raise Problem(400, f"{name} is no date as HTTP writes it", _over())
    return found


def _tag_or_date(text: str | None) -> str | None:
    if text is None:
        return None
    text = text.strip(" \t")
    if not _TAG.fullmatch(text):
        _date("If-Range", text)
    return text
