"""Types of command-line options that reject bad values in one line, before anything starts."""

from __future__ import annotations

import argparse
import os
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from infraforge.errors import UsageError

_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def refusing(check: Callable[[str], object]) -> Callable[[str], str]:
    """A type that accepts any text for which `check` raises no UsageError."""

    def parse(text: str) -> str:
        try:
            check(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return parse


def number(what: str, least: int, most: int = 1_000_000) -> Callable[[str], int]:
    """A type for whole numbers from `least` to `most`. what: the noun in its message."""

    def parse(text: str) -> int:
        whole = re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII)
        if not whole or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what} from {least} to {most}")
        return int(text)

    return parse


port = number("port", 1, 65535)
"""A TCP port."""


def readable_file(text: str) -> Path:
    """An existing, readable file."""
    path = Path(text)
    why = ""
    if not text or not path.exists():
        why = "there is no such file"
    elif not path.is_file():
        why = "that is not a file"
    elif not os.access(path, os.R_OK):
        why = "it cannot be read (to see its owner: ls -l)"
    if why:
        raise argparse.ArgumentTypeError(f"{text!r}: {why}")
    return path


def writable_file(text: str) -> Path:
    """A file that can be written or replaced; its folder must exist."""
    path = Path(text)
    why = ""
    if not text:
        why = "that is not a file"
    elif path.exists() and not path.is_file():
        why = "that exists and is not a file"
    elif not path.parent.is_dir():
        why = f"there is no folder {str(path.parent)!r}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "it cannot be written (to see its owner: ls -ld)"
    if why:
        raise argparse.ArgumentTypeError(f"{text!r}: {why}")
    return path


def folder(text: str) -> Path:
    """A folder that exists, or can still be made."""
    path = Path(text)
    if not text or (path.exists() and not path.is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r}: that is not a folder")
    return path


def origin(text: str) -> str:
    """`https://HOST[:PORT]` as in a browser: no path, no user."""
    try:
        parts = urllib.parse.urlsplit(text)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    plain = good and re.fullmatch(r"[\w.:\[\]-]+", parts.netloc, re.ASCII)
    if not plain or text.rstrip("/") != f"https://{parts.netloc}":
        raise argparse.ArgumentTypeError(f"{text!r} is not https://HOST or https://HOST:PORT")
    return text.rstrip("/")


def registry(text: str) -> str:
    """A place for images, `HOST[:PORT][/PATH]`: no scheme, no tag, lower case."""
    if not _PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST[:PORT][/PATH], e.g. registry.example/platform"
        )
    return text
