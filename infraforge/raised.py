"""Whether a test itself raised an assertion, or a library or the harness that it called."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import _pytest
import pytest

from infraforge import folders

_HARNESS = Path(__file__).parent
_TESTS = (_HARNESS / "selftests", folders.shipped("suites"), folders.shipped("chaos"))
"""Folders of tests. Those of a wheel lie inside the harness, and among libraries."""

_PYTEST = [Path(file).parent for file in (pytest.__file__, _pytest.__file__)]
_LIBRARIES = {
    place
    for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    for place in (Path(sysconfig.get_path(kind)), Path(sysconfig.get_path(kind)).resolve())
}


def by_a_test(error: BaseException) -> bool:
    """Whether the test, or pytest on its behalf, raised the error, and not what the test called."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return True
    file = Path(trace.tb_frame.f_code.co_filename)
    if any(file.is_relative_to(place) for place in _PYTEST):
        return True
    if any(file.is_relative_to(place) for place in _TESTS):
        return True
    ours = file.is_relative_to(_HARNESS)
    return not ours and not any(file.is_relative_to(place) for place in _LIBRARIES)
