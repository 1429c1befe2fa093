"""What a run was asked about, and so what it owes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import plugin
from infraforge.profile import Profile
from infraforge.stack import TREE


@pytest.mark.parametrize(
    ("args", "below", "asked"),
    [
        (["suites"], ".", {"suites"}),
        (["chaos"], ".", {"chaos"}),
        (["chaos/test_ca.py"], ".", {"chaos"}),
        (["suites/access/test_logout.py::test_logout"], ".", {"suites"}),
        (["suites", "chaos"], ".", {"suites", "chaos"}),
        (["."], ".", {"suites", "chaos"}),
        (["test_ca.py"], "chaos", {"chaos"}),
        ([".."], "chaos", {"suites", "chaos"}),
        (["infraforge/selftests"], ".", set()),
        (["suites.md"], ".", set()),
    ],
)
def test_what_was_asked_about_is_where_the_arguments_lead(
    tmp_path: Path, args: list[str], below: str, asked: set[str]
) -> None:
    where = SimpleNamespace(dir=tmp_path / below)
    config: Any = SimpleNamespace(args=args, rootpath=tmp_path, invocation_params=where)
    assert plugin._asked(config) == asked


def test_experiments_owe_experiments_and_suites_owe_suites() -> None:
    profile = Profile.load("minimal", TREE)
    chaos, suites = profile.owed({"chaos"}), profile.owed({"suites"})
    assert {node.partition("/")[0] for node in chaos} == {"chaos"}
    assert {node.partition("/")[0] for node in suites} == {"suites"}
    assert sorted((*chaos, *suites)) == sorted(profile.owed({"chaos", "suites"}))
    assert profile.owed(()) == ()
