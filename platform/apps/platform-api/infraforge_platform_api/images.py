"""Image references and digests, as manifests and the kubelet write them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """`REPOSITORY[:TAG][@DIGEST]`; a part that is absent is empty."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        name, _, digest = text.partition("@")
        head, slash, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        return cls(f"{head}{slash}{last}", tag, digest if _DIGEST.fullmatch(digest) else "")

    @property
    def name(self) -> str:
        """The reference without its digest."""
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


def running_digest(image_id: str) -> str:
    """The digest in a container status' imageID; empty where it has none yet."""
    found = _DIGEST.search(image_id.partition("@")[2] or image_id)
    return found[0] if found else ""


def state(pinned: str, running: tuple[str, ...], held: bool | None, tagged: str | None) -> str:
    """Compare an image in use with the registry; the state in one word.

    held: whether the registry has the pinned digest, None if it did not answer; tagged: the digest
    of the image's tag in the registry.

    unpinned: the manifest names no digest; differs: a digest other than the pinned one runs;
    unknown: the registry did not answer; missing: the registry lacks the pinned digest, so no node
    can pull it; moved: the registry has it, but the tag names another; current: all three agree.
    """
    if not pinned:
        return "unpinned"
    if any(digest != pinned for digest in running):
        return "differs"
    if held is None:
        return "unknown"
    if not held:
        return "missing"
    return "current" if tagged == pinned else "moved"
