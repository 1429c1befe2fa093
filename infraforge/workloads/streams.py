"""Files of any size that are never in memory as a whole; the same seed gives the same bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

_PIECE = 1024 * 1024


class Stream:
    """`size` bytes of noise, read like a file, with a known length (`len`).

    sha256: of the bytes read so far, in hex.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._left = size
        self._noise = random.Random(seed)  # noqa: S311  reproducible, not secret
        self._rest = memoryview(b"")
        self._sha = hashlib.sha256()

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        while wanted:
            if not self._rest:
                self._rest = memoryview(self._noise.randbytes(_PIECE))
            piece, self._rest = self._rest[:wanted], self._rest[wanted:]
            self._sha.update(piece)
            pieces.append(piece)
            wanted -= len(piece)
            self._left -= len(piece)
        return b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        """Pieces, for a client that sends without announcing a length."""
        while piece := self.read(_PIECE):
            yield piece

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()
