"""Files that are there whole or not at all, whoever else writes them at the same time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Put `content` in the place of what is at `path`, on the disk when this returns.

    mode: of the new file. Of several writers at once the last one wins; each writes aside under a
    name of its own. Raises OSError, and leaves the old file and nothing else, when it cannot.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A name beside `path`, of this call alone; what the block wrote there becomes `path`.

    Where the block raises, what it wrote is removed and `path` stays as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    os.chmod(name, 0o644)
    try:
        yield Path(name)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def sync_folder(folder: Path) -> None:
    """Have the folder's own entries on the disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
