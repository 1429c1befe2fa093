"""Which tests a run selects, and which ones it therefore requires."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import session
from infraforge.profile import Profile
from infraforge.selftests import stand_ins
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
    assert session.asked_folders(config) == asked


def test_a_way_through_a_link_leads_there_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    where = SimpleNamespace(dir=tmp_path)
    config: Any = SimpleNamespace(
        args=[str(tmp_path / "link" / "suites")],
        rootpath=tmp_path / "link",
        invocation_params=where,
    )
    assert session.asked_folders(config) == {"suites"}


@pytest.mark.parametrize("args", [["infraforge/selftests"], ["suites"]])
def test_a_profile_that_is_named_is_owed_its_suites(
    monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """Where selftests alone are run for it, too: then the run says nothing."""
    root = TREE.parent
    chosen = {"profile": "minimal", "kubeconfig": None}
    config: Any = SimpleNamespace(
        args=args,
        rootpath=root,
        invocation_params=SimpleNamespace(dir=root),
        option=SimpleNamespace(collectonly=False),
        getoption=chosen.get,
    )
    for done_elsewhere in ("_begin", "_stand_up"):
        monkeypatch.setattr(session.Run, done_elsewhere, lambda *_: None)
    run = session.Run(config)
    run.pytest_sessionstart()
    assert set(run.required) == set(Profile.load("minimal", TREE).owed({"suites"}))


def test_tests_are_collected_for_the_platform_that_was_stood_up_though_it_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path))
    chosen = {"profile": None, "kubeconfig": None, "cluster_name": "mine"}
    config: Any = SimpleNamespace(getoption=chosen.get)
    assert session.profile_under_test(config) is None
    stand_ins.note("mine")
    stand_ins.kubeconfig(stand_ins.DEAD, "mine")
    assert session.profile_under_test(config) == Profile.load("minimal", TREE)
    chosen["profile"] = "standard"
    assert session.profile_under_test(config) == Profile.load("standard", TREE)


def test_experiments_owe_experiments_and_suites_owe_suites() -> None:
    profile = Profile.load("minimal", TREE)
    chaos, suites = profile.owed({"chaos"}), profile.owed({"suites"})
    assert {node.partition("/")[0] for node in chaos} == {"chaos"}
    assert {node.partition("/")[0] for node in suites} == {"suites"}
    assert sorted((*chaos, *suites)) == sorted(profile.owed({"chaos", "suites"}))
    assert profile.owed(()) == ()
