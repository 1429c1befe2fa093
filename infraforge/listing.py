"""Which tests the whole suites have: another pytest collects them beside the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from infraforge import runs
from infraforge.noting import LISTING, WORDS

_LISTING_SECONDS = 120


class Listing:
    """Which tests the whole suites have, with their controls; found out beside the run.

    A run may be of a part of them, and its workers collect for themselves: another process looks.
    """

    def __init__(self, root: Path, folders: Collection[str]) -> None:
        self._root, self._folders = root, folders

    def __enter__(self) -> Listing:
        self._place = tempfile.TemporaryDirectory(prefix="infraforge-listing-")
        self._file = Path(self._place.name) / "tests.json"
        self._log = (Path(self._place.name) / "log").open("w+")
        argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
        away = {"PYTEST_ADDOPTS", runs.VARIABLE}
        self._process = subprocess.Popen(
            [*argv, f"{LISTING}={self._file}", *self._folders],
            cwd=self._root,
            env={name: value for name, value in os.environ.items() if name not in away},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is not for this one
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._place.cleanup()

    def result(self) -> tuple[dict[str, tuple[str, ...]] | None, str]:
        """Test → controls; or None, and why that could not be found out."""
        try:
            code = self._process.wait(_LISTING_SECONDS)
        except subprocess.TimeoutExpired:
            return None, f"Collecting the whole suites took more than {_LISTING_SECONDS} s."
        if code or not self._file.exists():
            self._log.seek(0)
            last = self._log.read().strip().rpartition("\n")[2][:WORDS]
            return None, f"The whole suites could not be collected (pytest: {code}): {last}"
        found = json.loads(self._file.read_text())
        return {node: tuple(controls) for node, controls in found.items()}, ""
