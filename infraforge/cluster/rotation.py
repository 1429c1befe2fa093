"""Replace one CA by the next in phases: nobody ever shows a certificate that a peer rejects.

    trust   both are trusted, the old one issues: until everybody trusts both
    issue   both are trusted, the new one issues: until everybody shows a certificate of it
    drop    the new one alone is trusted: until nobody trusts the old one

Each phase is written to disk before its work begins and is idempotent, so a run after a kill
resumes where the killed one stopped. The old CA's key is deleted as soon as the new one issues.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path

from infraforge.cluster.pki import make_ca, write_private
from infraforge.errors import UsageError


class Phase(enum.StrEnum):
    """The phases of a rotation, as the module's docstring describes them."""

    TRUST = "trust"
    ISSUE = "issue"
    DROP = "drop"


class Rotation:
    """The rotation of the CA kept in `folder` (see `pki.Authority`), begun or not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = folder / "rotation"
        self._next = folder / "next"

    @property
    def phase(self) -> Phase | None:
        """The phase entered last; None while no rotation is under way."""
        if not self._journal.exists():
            return None
        try:
            return Phase(self._journal.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(
                f"{self._journal} is damaged ({error}), so the phase of the CA's rotation is "
                f"unknown; write one of {', '.join(Phase)} there, then resume: "
                f"infraforge certificates renew --ca"
            ) from error

    def phases(self) -> Iterator[Phase]:
        """Enter and yield each remaining phase; the rotation ends after the last one."""
        if self.phase is None:
            self._begin()
        order = list(Phase)
        for phase in order[order.index(self.phase or Phase.TRUST) :]:
            self._enter(phase)
            yield phase
        self._end()

    def _begin(self) -> None:
        """Make the next CA; a half-made one can be discarded, as nobody has seen it yet."""
        make_ca(self._next)
        write_private(self._folder / "old.crt", (self._folder / "ca.crt").read_text())
        write_private(self._journal, Phase.TRUST)

    def _enter(self, phase: Phase) -> None:
        write_private(self._journal, phase)
        old = (self._folder / "old.crt").read_text()
        new = (self._next / "ca.crt").read_text()
        if phase is Phase.TRUST:
            write_private(self._folder / "ca.crt", old + new)
        elif phase is Phase.ISSUE:
            write_private(self._folder / "ca.key", (self._next / "ca.key").read_text())
        else:
            write_private(self._folder / "ca.crt", new)

    def _end(self) -> None:
        self._journal.unlink()
        for path in (self._folder / "old.crt", self._next / "ca.key", self._next / "ca.crt"):
            path.unlink(missing_ok=True)
        self._next.rmdir()
