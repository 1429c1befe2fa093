"""The exit code of pytest with the plugin: real runs of suites made up here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infraforge import plugin, runs, session
from infraforge.report.index import Index, Profiled

pytest_plugins = ["pytester"]

PROFILE = """
description = "made up"
[components.frontend]
[tests]
required = ["suites/test_it.py::test_it"]
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the body of suites/test_it.py under a profile that requires its `test_it`."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    tree = tmp_path / "platform"
    (tree / "profiles").mkdir(parents=True)
    (tree / "profiles" / "made-up.toml").write_text(PROFILE)
    monkeypatch.setattr(session.stack, "TREE", tree)
    monkeypatch.setattr(session.Run, "_stand_up", lambda *_: None)
    suites = pytester.path / "suites"
    suites.mkdir()

    def go(body: str, *args: str, profile: str = "made-up") -> pytest.RunResult:
        (suites / "test_it.py").write_text(f"import pytest\n{body}")
        asked = args if any(arg.startswith("suites") for arg in args) else ("suites", *args)
        named = [f"--profile={profile}"] if profile else []
        cache = () if "cacheprovider" in args else ("-p", "no:cacheprovider")
        return pytester.runpytest_inprocess(
            "-p", "infraforge.plugin", "--import-mode=importlib", *cache, "-p",
            "no:locust", "-p", "no:schemathesis", *named, *asked,
        )  # fmt: skip

    return go


CASES = """
@pytest.mark.parametrize("one", ["a", "b"])
def test_it(one):
    {}
"""
SIDE_BY_SIDE = ("-n", "2")


@pytest.mark.parametrize("how", [(), SIDE_BY_SIDE], ids=["one process", "workers"])
def test_all_cases_of_a_required_test_must_have_run(run, how) -> None:
    assert run(CASES.format("pass"), *how).ret == 0
    ended = run(CASES.format("pass"), "-k", "not it[b]", *how)
    assert ended.ret == 2
    ended.stdout.fnmatch_lines(["required, but did not run: suites/test_it.py::test_it[[]b]"])


@pytest.mark.parametrize(
    "chosen",
    [
        ("suites/test_it.py::test_it[a]",),
        ("--deselect", "suites/test_it.py::test_it[b]"),
        ("--maxfail=1", "--deselect=suites/test_it.py::test_it[a]"),
        ("--collect-only",),
        ("--setup-only",),
    ],
)
def test_a_case_that_was_not_chosen_is_missing(run, chosen) -> None:
    assert run(CASES.format("pass"), *chosen).ret == 2


def test_a_collection_owes_what_its_profile_requires(run) -> None:
    ended = run(CASES.format("pass"), "--collect-only")
    ended.stdout.fnmatch_lines(["required, but did not run: suites/test_it.py::test_it"])
    assert run(CASES.format("pass"), "--collect-only", profile="").ret == 0


def test_no_test_is_chosen_by_what_the_plugin_notes_of_it(run) -> None:
    marked = f"@pytest.mark.control('SOC2-A1.2'){CASES.format('pass')}"
    assert run(marked, "-k", "allure_label", "--collect-only", profile="").ret == 2
    assert run(marked, "-k", "control", "--collect-only", profile="").ret == 0


@pytest.mark.parametrize(
    "skipped",
    [
        "pytest.skip('not today') if one == 'b' else None",
        "pytest.xfail('known') if one == 'b' else None",
        "__import__('os')._exit(7) if one == 'b' else None",
    ],
    ids=["skipped", "expected to fail", "its worker died"],
)
def test_a_case_that_said_nothing_is_missing(run, skipped) -> None:
    assert run(CASES.format(skipped), *SIDE_BY_SIDE).ret == 2


def test_a_skipped_part_leaves_the_case_unjudged(run) -> None:
    body = """
def test_it(subtests):
    for part in range(2):
        with subtests.test(part=part):
            pytest.skip("not this") if part else None
"""
    assert run(body).ret == 2
    assert run(body.replace("skip(", "fail(")).ret == 1
    assert run(body.replace('pytest.skip("not this")', "1 / 0")).ret == 2


def test_a_failure_that_is_expected_is_one(run) -> None:
    failing = "@pytest.mark.xfail(reason='known')\ndef test_it():\n    assert {}\n"
    assert run(failing.format("False")).ret == 1
    assert run(failing.format("True")).ret == 0
    assert run(failing.format("1 / 0")).ret == 2


UNABLE = "from infraforge.errors import Unable\n" + CASES.format(
    "if one in {}: raise Unable('needs a way onto the nodes')"
)


@pytest.mark.parametrize("how", [(), SIDE_BY_SIDE], ids=["one process", "workers"])
def test_what_this_cluster_cannot_show_has_an_exit_code_of_its_own(run, pytester, how) -> None:
    ended = run(UNABLE.format("'b'"), *how)
    assert ended.ret == 3
    ended.stdout.fnmatch_lines(
        [
            "holds, but for 1 required that this cluster cannot show",
            "not on this cluster: suites/test_it.py::test_it[[]b]: needs a way onto the nodes",
        ]
    )
    (kept,) = runs.recorded(pytester.path / "reports")
    index = Index.from_json(kept.index.read_bytes())
    owing = replace(index, profile=Profiled("made-up", (), ("suites/test_it.py::test_it",)))
    again = owing.conclusions()
    assert (index.concluded.exit_code, again.exit_code) == (3, 3)
    assert (again.missing, again.unable) == ((), ("suites/test_it.py::test_it[b]",))


def test_a_case_that_cannot_be_excuses_itself_alone(run) -> None:
    assert run(UNABLE.format("'b'"), "-k", "not a").ret == 2, "nothing ran"
    more = "\ndef test_that(): pass\n"
    assert run(UNABLE.format("'b'") + more, "-k", "that or b").ret == 2, "the other case did not"
    assert run(UNABLE.format("'ab'") + more).ret == 3
    assert run(UNABLE.format("'ab'")).ret == 2, "nothing was shown at all"
    assert run(UNABLE.format("'b'") + "\ndef test_that(): assert False\n").ret == 1


@pytest.mark.parametrize("profile", ["made-up", ""], ids=["with a profile", "without"])
def test_an_empty_selection_is_unknown(run, profile) -> None:
    assert run(CASES.format("pass"), "-k", "nothing", profile=profile).ret == 2


def test_what_could_not_be_collected_is_unknown(run, pytester) -> None:
    (pytester.path / "suites" / "test_other.py").write_text("import that_is_not_there\n")
    assert run(CASES.format("pass")).ret == 2
    assert run(CASES.format("pass"), "--continue-on-collection-errors").ret == 2


@pytest.mark.parametrize("how", [(), SIDE_BY_SIDE], ids=["one process", "workers"])
def test_a_run_that_stops_at_what_is_broken_says_broken(run, how) -> None:
    assert run(CASES.format("assert False"), "-x", *how).ret == 1


def test_what_failed_last_time_alone_is_not_the_whole(run) -> None:
    kept = ("-p", "cacheprovider")
    assert run(CASES.format("assert one == 'a'"), *kept).ret == 1
    assert run(CASES.format("pass"), "--lf", *kept).ret == 2


def test_a_failure_that_another_plugin_renames_is_not_forgotten(run, pytester) -> None:
    """As one does that tries again until it is green."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            if report.failed:
                report.outcome = "rerun"
        """
    )
    assert run(CASES.format("assert one == 'a'")).ret == 1


def test_the_verdict_needs_no_other_plugin_than_it_says(run) -> None:
    assert run(CASES.format("pass"), "-p", "no:xdist").ret == 0
    assert run(CASES.format("pass"), "-p", "no:skipping").ret == 0
    ended = run(CASES.format("pass"), "-p", "no:pytest-kind")
    assert ended.ret == 64
    ended.stderr.fnmatch_lines(["*leave out -p no:pytest-kind*"])


def test_an_error_within_pytest_is_not_taken_for_all_that_can_be_shown(run, pytester) -> None:
    pytester.makeconftest("def pytest_runtestloop(): raise RuntimeError")
    assert run(CASES.format("pass")).ret == 2
    pytester.makeconftest("def pytest_sessionstart(): raise RuntimeError")
    assert run(CASES.format("pass"), profile="").ret == 2


def test_a_control_that_fails_is_unknown_and_says_so(run) -> None:
    body = """
from infraforge.verdict import control

def test_it():
    control(200 == 200, "the path that must be open is")
    control([], "the path that must be open is shut")
"""
    ended = run(body)
    assert ended.ret == 2
    ended.stdout.fnmatch_lines(["*Inconclusive: the control does not hold: the path*is shut"])


def test_an_assertion_that_is_not_the_tests_own_says_nothing(run) -> None:
    """A library's or the harness' own: what is wrong then is not known."""
    assert run("import queue\ndef test_it():\n    queue.Queue().__class__ = 1\n").ret == 2
    library = "import unittest\ndef test_it():\n    unittest.TestCase().assertTrue(False)\n"
    assert run(library).ret == 2
    assert run("def test_it():\n    with pytest.raises(KeyError): pass\n").ret == 1


LATE = """
from infraforge.wait import wait_until

def test_it():
    wait_until(lambda: False, 0.01, broken=True)
"""


@pytest.mark.parametrize(
    ("pressure", "body", "code"),
    [
        (0.99, LATE, 2),
        (0.90, LATE, 1),
        (None, LATE, 1),
        (0.99, "def test_it():\n    assert 1 == 2\n", 1),
        (0.99, LATE.replace("broken=True", "error=lambda _: True, broken=True"), 1),
    ],
    ids=["starved", "busy", "not known", "no question of time", "hopeless"],
)
def test_what_is_late_on_a_starved_machine_is_unknown(
    run, monkeypatch, pressure, body, code
) -> None:
    figures = plugin.starvation.Figures(60, cpu=pressure, steal=0.0)
    monkeypatch.setattr(plugin.starvation.Watch, "figures", lambda *_: figures)
    ended = run(body)
    assert ended.ret == code
    told = "unknown, not broken: the machine was starved (cpu 0.99 is above 0.97)"
    assert (told in ended.stdout.str()) is (code == 2)
