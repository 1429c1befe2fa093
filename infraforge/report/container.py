"""The container of a bundle: a zip that shows by itself whether any bit of it was changed.

The zip's comment, the last bytes of the file, is the SHA-256 of everything before it. It also
covers fields and padding of a zip that no reader looks at. Members follow each other without gaps,
and each name occurs once.

The input may be hostile: sizes, counts and ratios are bounded before anything is unpacked, and
nothing is ever written to disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from infraforge.errors import UsageError

MEMBERS = 50_000
MEMBER_BYTES = 256 * 2**20
ALL_BYTES = 2**30
RATIO = 200
"""Bounds of a bundle: members, bytes of one and of all, and the ratio for one above a MiB."""

_SMALL = 2**20
_CHUNK = 2**20
_COMMENT = re.compile(rb"infraforge bundle sha256:[0-9a-f]{64}")
_EMPTY = b"infraforge bundle sha256:" + b"0" * 64
_LOCAL_HEADER = 30
_ENTRY = b"PK\x01\x02"
_WHEN = (1980, 1, 1, 0, 0, 0)
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
)
"""What Python's zipfile raises for the many ways in which a zip can be damaged."""


@dataclass
class Content:
    """The content of a container. members: those that were read whole; troubles: in words."""

    members: dict[str, bytes] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


def write(path: Path, members: Mapping[str, bytes]) -> str:
    """Write the members, in their order, as one sealed zip; returns the file's SHA-256.

    Raises UsageError where they exceed what a reader would accept.
    """
    _refuse_oversized(members)
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = _EMPTY
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _WHEN)
            info.external_attr = 0o644 << 16
            info.compress_type = _packing(data)
            packed.writestr(info, data)
    with path.open("r+b") as file:
        file.seek(-len(_EMPTY), os.SEEK_END)
        until = file.tell()
        file.seek(0)
        digest = _sha256(file, until)
        file.seek(until)
        file.write(b"infraforge bundle sha256:" + digest.encode())
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_one(path: Path) -> bool:
    """Whether a file is such a container, judged by its last bytes."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < len(_EMPTY):
            return False
        file.seek(-len(_EMPTY), os.SEEK_END)
        return _COMMENT.fullmatch(file.read()) is not None


def read(path: Path) -> Content:
    """Read the file, and note what is wrong with it. Raises UsageError where it cannot be opened.

    Nothing else is raised: each error of zipfile for a damaged or hostile file becomes a trouble.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}; make a bundle: infraforge report")
    if not path.is_file():
        raise UsageError(f"{path} is not a file; name a bundle")
    content = Content()
    try:
        with path.open("rb") as file:
            content.troubles += _sealed(file)
            try:
                _read_all(file, content)
            except _UNREADABLE as error:
                content.troubles.append(f"the container is damaged, not a zip: {_told(error)}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    return content


def _read_all(file: BinaryIO, content: Content) -> None:
    if _entries(file) > MEMBERS:  # zipfile would hold them all in memory
        content.troubles.append(f"the container has more than {MEMBERS} members: none is read")
        return
    with zipfile.ZipFile(file) as packed:
        infos = packed.infolist()
        doubled = {name for name, number in Counter(packed.namelist()).items() if number > 1}
        content.troubles += [f"{_shown(name)} is there twice" for name in sorted(doubled)]
        content.troubles += _gaps(file, packed, infos)
        left = ALL_BYTES
        for info in infos:
            name = info.filename
            trouble = _odd(info, left)
            if not trouble and name not in doubled:
                try:
                    content.members[name] = _member(packed, info)
                    left -= info.file_size
                    continue
                except _UNREADABLE as error:
                    trouble = f"is damaged: {_told(error)}"
            content.unreadable.add(name)
            if trouble:
                content.troubles.append(f"{_shown(name)} {trouble}")


def _sealed(file: BinaryIO) -> list[str]:
    """What is wrong with the seal: the comment must be the digest of everything before it."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    if not size:
        return ["the container is empty"]
    until = max(0, size - len(_EMPTY))
    file.seek(until)
    comment = file.read()
    if not _COMMENT.fullmatch(comment):
        return ["the container has no seal at its end: it is truncated, changed, or not a bundle"]
    file.seek(0)
    if _sha256(file, until) != comment[-64:].decode():
        return ["the container was changed: its bytes are not those that were sealed"]
    return []


def _entries(file: BinaryIO) -> int:
    """An upper bound for the directory's members: each entry begins with a signature."""
    number, before = 0, b""
    file.seek(0)
    while chunk := file.read(_CHUNK):
        number += (before + chunk).count(_ENTRY)
        before = chunk[-len(_ENTRY) + 1 :]
    return number


def _gaps(file: BinaryIO, packed: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> list[str]:
    """Bytes that belong to no member, or to two: a zip bomb has overlapping members."""
    expected = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset != expected:
            what = "overlaps another" if info.header_offset < expected else "follows hidden bytes"
            return [f"{_shown(info.filename)} {what}: no bundle is written like this"]
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            return [f"{_shown(info.filename)} is truncated"]
        name, extra = struct.unpack("<HH", header[26:30])
        expected = info.header_offset + _LOCAL_HEADER + name + extra + info.compress_size
    if packed.start_dir != expected:
        return ["the container has bytes that belong to no member"]
    return []


def _odd(info: zipfile.ZipInfo, left: int) -> str:
    """Why this member is not unpacked at all; "" where it is."""
    size, strange = info.file_size, "\\" in info.orig_filename
    strange |= any(ord(char) < 32 for char in info.orig_filename)
    parts = info.filename.split("/")
    method = info.compress_type
    reasons = {
        "is encrypted": info.flag_bits & 0x1,
        "has a name that leads elsewhere": (
            strange or ":" in parts[0] or {"", ".", ".."} & set(parts)
        ),
        f"is packed by method {method}, which no bundle is": (
            method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ),
        f"would unpack to {size} bytes; more than {MEMBER_BYTES} are not read": size > MEMBER_BYTES,
        f"is more than all members together may be ({ALL_BYTES} bytes)": size > left,
        f"would unpack to more than {RATIO} times its size: a bomb": (
            size > _SMALL and size > RATIO * max(1, info.compress_size)
        ),
    }
    return next((reason for reason, true in reasons.items() if true), "")


def _member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The whole member; zipfile stops at the size it claims, and compares its checksum."""
    pieces = []
    with packed.open(info) as stream:
        while piece := stream.read(_CHUNK):
            pieces.append(piece)
    data = b"".join(pieces)
    if len(data) != info.file_size:
        raise EOFError(f"{len(data)} of {info.file_size} bytes")
    return data


def _packing(data: bytes) -> int:
    """Deflated, unless it packs so well that a reader would take it for a bomb."""
    if len(data) > _SMALL and len(data) > RATIO / 2 * len(zlib.compress(data)):
        return zipfile.ZIP_STORED
    return zipfile.ZIP_DEFLATED


def _refuse_oversized(members: Mapping[str, bytes]) -> None:
    if len(members) > MEMBERS:
        raise UsageError(
            f"{len(members)} files are too many for a bundle, which takes {MEMBERS}; "
            f"report a smaller run: infraforge report --run ID"
        )
    for name, data in members.items():
        if len(data) > MEMBER_BYTES:
            raise UsageError(
                f"{name} has {len(data)} bytes, but a bundle takes {MEMBER_BYTES} per file; "
                f"attach less in that test"
            )
    if sum(map(len, members.values())) > ALL_BYTES:
        raise UsageError(
            f"these results exceed {ALL_BYTES} bytes, the limit of a bundle; "
            f"report a smaller run: infraforge report --run ID"
        )


def _sha256(file: BinaryIO, until: int) -> str:
    """SHA-256 of the file's next `until` bytes."""
    digest = hashlib.sha256()
    while until > 0 and (chunk := file.read(min(_CHUNK, until))):
        digest.update(chunk)
        until -= len(chunk)
    return digest.hexdigest()


def _shown(name: str) -> str:
    """A member's name for the terminal: control characters shown, not obeyed."""
    return name if name.isprintable() else ascii(name)


def _told(error: BaseException) -> str:
    return ascii(str(error))[1:-1] or type(error).__name__
