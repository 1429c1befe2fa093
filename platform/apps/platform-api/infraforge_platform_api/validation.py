"""Checks on input: names, numbers, cursors, bodies. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

PAGE = 50
PAGE_LIMIT = 200
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_ACTION = re.compile(r"[0-9]{19}-[0-9a-f]{6}", re.ASCII)


class Invalid(ValueError):
    """The input is not acceptable; the text says which part and why."""


def is_name(text: str) -> bool:
    """Whether a component can have this name (RFC 1123 label)."""
    return _NAME.fullmatch(text) is not None


def only(arguments: Mapping[str, str], *known: str) -> None:
    """Raise Invalid if the query string has a parameter that is not in `known`."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise Invalid(f"unknown parameter {unknown[0]!r}")


def limit(text: str | None) -> int:
    """A page's size: 1 to PAGE_LIMIT, by default PAGE."""
    if text is None:
        return PAGE
    # isdecimal alone also accepts digits of other scripts
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= PAGE_LIMIT:
        raise Invalid(f"limit must be a number from 1 to {PAGE_LIMIT}")
    return int(text)


def before(text: str | None) -> str | None:
    """The id of an action; None where the parameter is absent."""
    if text is not None and not _ACTION.fullmatch(text):
        raise Invalid("before must be the id of an action")
    return text


def replicas(body: object, most: int) -> int:
    """The number in `{"replicas": N}`: 1 to `most`."""
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    unknown = sorted(set(body) - {"replicas"})
    if unknown:
        raise Invalid(f"unknown field {unknown[0]!r}")
    number = body.get("replicas")
    if type(number) is not int or not 1 <= number <= most:
        raise Invalid(f"replicas must be a whole number from 1 to {most}")
    return number
