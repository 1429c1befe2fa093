"""Files that exist whole or not at all, even with several concurrent writers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Replace the file at `path` by `content`; it is on disk when this returns.

    mode: of the new file. Of several concurrent writers the last wins; each writes to its own
    temporary file. Raises OSError when it fails, and then leaves only the old file.
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
    """Yield a unique name beside `path`; what the block writes there becomes `path`.

    If the block raises, what it wrote is removed and `path` stays as it was.
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
    """Flush the folder's own entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
