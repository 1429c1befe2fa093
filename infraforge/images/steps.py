"""Runs the commands that make an image, logs each, and raises BuildError for one that fails."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infraforge.images.cache import log_path
from infraforge.images.errors import BuildError

_TAIL = 15


@dataclass(frozen=True)
class Steps:
    """The commands for one image, which share a log."""

    image: str

    def begin(self) -> None:
        """Truncate the log: it covers one build."""
        log_path(self.image).write_text("")

    def docker(self, step: str, *argv: str) -> str:
        """Run docker; returns its output."""
        return self.run(step, ["docker", *argv])

    def run(self, step: str, argv: Sequence[str], cwd: Path | None = None) -> str:
        """Run a command; returns its standard output. Raises BuildError with the last lines."""
        log = log_path(self.image)
        with log.open("a") as out:
            out.write(f"$ {' '.join(argv)}\n")
            out.flush()
            try:
                done = subprocess.run(
                    argv, cwd=cwd, stdout=subprocess.PIPE, stderr=out, text=True, check=False
                )
            except OSError as error:
                why = f"{argv[0]}: {error.strerror}; is it installed?"
                raise BuildError(self.image, step, [why], log) from error
            out.write(done.stdout)
        if done.returncode != 0:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise BuildError(self.image, step, lines[-_TAIL:], log)
        return done.stdout
