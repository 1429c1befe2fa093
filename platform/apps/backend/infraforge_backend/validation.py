"""What may come in: shapes, lengths and characters of names, texts and cursors. Pure."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infraforge_backend import names

NAME_LENGTH = 200
DESCRIPTION_LENGTH = 10_000
FILE_NAME_BYTES = 255
PAGE = 50
PAGE_LIMIT = 200
_NEVER_TAKEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Invalid(ValueError):
    """What was sent is not acceptable; the text says which part and why."""


@dataclass(frozen=True)
class ProjectInput:
    """A project as a client may send it. version: what the client believes it changes, or None."""

    name: str
    description: str
    version: int | None


def project(body: object) -> ProjectInput:
    """The project in a decoded JSON body; Invalid where it is none."""
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    unknown = sorted(set(body) - {"name", "description", "version"})
    if unknown:
        raise Invalid(f"unknown field {unknown[0]!r}")
    if "name" not in body:
        raise Invalid("name is missing")
    version = body.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise Invalid("version must be an integer")
    return ProjectInput(name=_name(body["name"]), description=_description(body), version=version)


def new_file_name(text: str) -> str:
    """A name that a file may be given, in NFC; Invalid where it cannot be one."""
    return _fit("the file name", file_name(text))


def file_name(text: str) -> str:
    """A name that a file may have, in NFC: also one that was given before the rules of `names`."""
    if not text or text in (".", ".."):
        raise Invalid("a file needs a name")
    odd = next((c for c in text if unicodedata.category(c) in _NEVER_TAKEN), "")
    if odd:
        raise Invalid(f"the file name holds U+{ord(odd):04X}")
    text = unicodedata.normalize("NFC", text)
    size = len(text.encode())
    if size > FILE_NAME_BYTES:
        raise Invalid(f"a file name may have {FILE_NAME_BYTES} bytes, not {size}")
    if "/" in text or "\\" in text:
        raise Invalid("a file name has no slashes")
    return text


def identifier(value: object) -> uuid.UUID:
    """A UUID in its usual form; Invalid for the many others that `uuid.UUID` takes."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise Invalid("id must be a UUID")
    return uuid.UUID(value)


def limit(text: str | None) -> int:
    """A page's size: 1 to PAGE_LIMIT, PAGE where nothing is said."""
    if text is None:
        return PAGE
    # isdecimal alone also takes digits of other scripts
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(PAGE_LIMIT))
    if not digits or not 1 <= int(text) <= PAGE_LIMIT:
        raise Invalid(f"limit must be a number from 1 to {PAGE_LIMIT}")
    return int(text)


def cursor(created_at: datetime.datetime, key: uuid.UUID) -> str:
    """An opaque place in the list of projects."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {key}".encode()).decode()


def read_cursor(text: str) -> tuple[datetime.datetime, uuid.UUID]:
    """The place `cursor` wrote; Invalid for anything else."""
    try:
        moment, key = base64.urlsafe_b64decode(text.encode()).decode().split(" ")
        return datetime.datetime.fromisoformat(moment), identifier(key)
    except (ValueError, binascii.Error) as error:
        raise Invalid("after is not a cursor this service gave") from error


def only(arguments: Mapping[str, str], *known: str) -> None:
    """Invalid when the query string has a parameter that nobody reads."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise Invalid(f"unknown parameter {unknown[0]!r}")


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("name must be a string")
    if not value.strip():
        raise Invalid("name is empty")
    name = _fit("the name", value)
    if len(name) > NAME_LENGTH:
        raise Invalid(f"name may have {NAME_LENGTH} characters, not {len(name)}")
    return name


def _description(body: Mapping[str, Any]) -> str:
    value = body.get("description", "")
    if not isinstance(value, str):
        raise Invalid("description must be a string")
    if len(value) > DESCRIPTION_LENGTH:
        raise Invalid(f"description may have {DESCRIPTION_LENGTH} characters, not {len(value)}")
    odd = names.unfit_for_text(value)
    if odd:
        raise Invalid(f"description holds U+{ord(odd):04X}, a control or what turns text round")
    return value


def _fit(what: str, text: str) -> str:
    """The text as a name, in NFC; Invalid where it cannot be one."""
    try:
        return names.read(text)
    except names.Unfit as error:
        raise Invalid(f"{what} {error}") from error
