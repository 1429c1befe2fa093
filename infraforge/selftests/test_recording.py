"""What pytest records of a run by itself: in the run's own folder, even with runs in parallel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import evidence, plugin, recording, runs
from infraforge.errors import UsageError
from infraforge.report import build, bundle, container, controls, signing, verify
from infraforge.report.examined import Examined
from infraforge.report.index import Index
from infraforge.runs import Run
from infraforge.selftests import bundles
from infraforge.verdict import Outcome

pytest_plugins = ["pytester"]

SUITE = '''
    """Tests that need no platform."""
    import pytest

    from infraforge.checkers import cells_match, no_stale_read
    from infraforge.errors import Inconclusive
    from infraforge.selftests.bundles import CELLS, STALE
    from infraforge.verdict import check

    @pytest.mark.control("SOC2-CC6.1")
    @pytest.mark.parametrize("case", [1, 2, 3])
    def test_holds(evidence, case):
        verdict = cells_match(CELLS, CELLS)
        evidence.attach(verdict)
        assert verdict.holds, verdict.explain()

    @pytest.mark.control("SOC2-CC6.1", "SOC2-CC6.3")
    def test_asserted():
        assert True
'''
BAD = '''
    """What a platform that is not well looks like."""
    import pytest

    from infraforge.checkers import no_stale_read
    from infraforge.errors import Inconclusive
    from infraforge.selftests.bundles import STALE
    from infraforge.verdict import check

    @pytest.fixture
    def failing():
        yield
        raise Inconclusive("left something behind")

    def test_broken(evidence):
        verdict = check(STALE, no_stale_read)
        evidence.attach(STALE, verdict)
        assert verdict.holds, verdict.explain()

    def test_forgets_to_assert(evidence):
        evidence.attach(STALE, check(STALE, no_stale_read))

    def test_unknown():
        raise Inconclusive("nobody can tell")

    def test_unknown_afterwards(failing):
        pass

    def test_skipped_and_unknown_afterwards(failing):
        pytest.skip("no reason")
'''


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A checkout with suites and the plugin, on a machine where nothing is up."""
    for name, value in (("STATE", "state"), ("CACHE", "cache")):
        monkeypatch.setenv(f"INFRAFORGE_{name}", str(pytester.path / value))
    monkeypatch.delenv(runs.VARIABLE, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(evidence.REPORTS.parent))
    pytester.makeini("[pytest]\naddopts = -p no:locust -p no:schemathesis --import-mode=importlib")
    pytester.makeconftest('pytest_plugins = ["infraforge.plugin"]')
    (pytester.mkdir("suites") / "test_good.py").write_text(_dedented(SUITE))
    return pytester


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def _index(run: Run) -> Index:
    return Index.from_json(run.index.read_bytes())


def _only(project: pytest.Pytester) -> Run:
    (run,) = runs.recorded(project.path / "reports")
    return run


def _verified(project: pytest.Pytester, run: Run) -> Examined:
    crosswalk = evidence.REPORTS / "controls.toml"
    out = project.path / "report"
    (project.path / "controls.toml").write_text(crosswalk.read_text())
    signer = signing.Signer(bundles.KEY, out)
    bundle.pack(run, bundles.report_of(run, out), crosswalk, project.path / "b.zip", signer)
    return verify.examine(container.read(project.path / "b.zip"))


def test_a_plain_run_keeps_its_results_and_every_verdict_is_made_again(
    project: pytest.Pytester,
) -> None:
    """With workers beside each other, who all write into the one run's folder."""
    (project.path / "suites" / "test_bad.py").write_text(_dedented(BAD))
    done = project.runpytest_subprocess("suites", "-n", "2")
    assert done.ret == 1, done.stdout.str()
    run = _only(project)
    done.stdout.fnmatch_lines([f"run {run.id}: *next: infraforge report"])
    index = _index(run)
    said = {node.partition("::")[2]: str(entry.outcome) for node, entry in index.tests.items()}
    assert said == {
        "test_holds[1]": "holds",
        "test_holds[2]": "holds",
        "test_holds[3]": "holds",
        "test_asserted": "holds",
        "test_broken": "broken",
        "test_forgets_to_assert": "broken",
        "test_unknown": "unknown",
        "test_unknown_afterwards": "unknown",
        "test_skipped_and_unknown_afterwards": "unknown",
    }
    assert index.concluded.exit_code == 1
    assert index.ended >= index.started > "2026"
    assert index.expected
    assert index.expected["suites/test_good.py::test_holds[3]"] == ("SOC2-CC6.1",)
    found = _verified(project, run)
    assert found.findings == []
    assert len(found.judged) == 5
    assert found.by_assertion == ["suites/test_good.py::test_asserted"]


def test_a_part_of_the_suites_leaves_a_control_partly_assessed(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("suites/test_good.py", "-k", "holds and 1")
    assert done.ret == 0, done.stdout.str()
    index = _index(_only(project))
    states = {one.id: one for one in controls.assess(index, evidence.known_controls())}
    assert states["SOC2-CC6.1"].state is controls.State.PARTLY
    assert states["SOC2-CC6.1"].counts == (1, 4)
    assert states["SOC2-CC6.3"].state is controls.State.NOT_ASSESSED


def test_suites_that_cannot_be_collected_leave_nothing_green(project: pytest.Pytester) -> None:
    (project.path / "suites" / "test_odd.py").write_text("import no_such_module")
    project.runpytest_subprocess("suites/test_good.py")
    index = _index(_only(project))
    assert index.expected is None
    assert "could not be collected" in index.expected_lacks
    states = {one.id: one.state for one in controls.assess(index, evidence.known_controls())}
    assert states["SOC2-CC6.1"] is controls.State.PARTLY


def test_two_runs_at_once_do_not_disturb_each_other(project: pytest.Pytester) -> None:
    argv = [sys.executable, "-m", "pytest", "suites", "-q"]
    both = [subprocess.Popen(argv, cwd=project.path, stdout=subprocess.PIPE) for _ in range(2)]
    for process in both:
        out, _ = process.communicate()
        assert process.returncode == 0, out.decode()
    found = runs.recorded(project.path / "reports")
    assert len(found) == 2
    for run in found:
        assert len(_index(run).tests) == 4
        assert len([*run.results.glob("*-result.json")]) == 4


def test_a_run_that_has_results_is_never_mixed_with_another(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = runs.new_id()
    monkeypatch.setenv(runs.VARIABLE, name)
    assert project.runpytest_subprocess("suites", "-k", "asserted").ret == 0
    assert _only(project).id == name
    again = project.runpytest_subprocess("suites", "-k", "asserted")
    assert again.ret == 64
    again.stderr.fnmatch_lines([f"*run {name} has results already*"])


def test_what_is_not_to_be_kept_is_not(project: pytest.Pytester) -> None:
    assert project.runpytest_subprocess("suites", "--unrecorded", "-k", "asserted").ret == 0
    assert not (project.path / "reports").exists()


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (set(), {}),
        ({"suites"}, {"collectonly": True}),
        ({"suites"}, {"unrecorded": True}),
    ],
)
def test_of_what_is_no_run_nothing_is_kept(
    tmp_path: Path, asked: set[str], options: dict[str, bool]
) -> None:
    chosen = {"collectonly": False, "unrecorded": False, "allure_report_dir": None} | options
    config: Any = SimpleNamespace(option=SimpleNamespace(**chosen), rootpath=tmp_path)
    assert recording.begin(config, asked) is None
    assert not [*tmp_path.iterdir()]


def test_results_go_where_the_user_wants_them(project: pytest.Pytester) -> None:
    assert project.runpytest_subprocess("suites", "--alluredir=mine").ret == 0
    run = _only(project)
    mine = project.path / "mine"
    assert bundle.results_of(run, _index(run)) == mine
    assert len([*mine.glob("*-result.json")]) == 4
    assert not run.results.exists()
    assert build.title(_index(run)).startswith(f"InfraForge · run {run.id}")


def test_a_tally_overwrites_only_a_tally(project: pytest.Pytester) -> None:
    precious = project.path / "precious"
    precious.write_text("words")
    refused = project.runpytest_subprocess("suites", f"--tally={precious}")
    assert refused.ret == 64
    refused.stderr.fnmatch_lines(["*precious exists and is not a tally*"])
    assert precious.read_text() == "words"


def test_where_nothing_can_be_written_it_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    chosen = {"collectonly": False, "unrecorded": False, "allure_report_dir": None}
    config: Any = SimpleNamespace(option=SimpleNamespace(**chosen), rootpath=tmp_path)
    with pytest.raises(UsageError, match="--unrecorded"):
        recording.begin(config, {"suites"})


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ('{"a": "holds", "b": "unknown"}', True),
        ("{}", True),
        ('{"a": "words"}', False),
        ('{"a": {}}', False),
        ("[]", False),
        ("words", False),
    ],
)
def test_a_tally_is_known_by_what_is_in_it(tmp_path: Path, text: str, ours: bool) -> None:
    (tmp_path / "t").write_text(text)
    assert plugin._is_tally(tmp_path / "t") is ours


def test_the_source_is_named_with_its_changes(tmp_path: Path) -> None:
    assert recording.source(tmp_path) == ("", None)
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path)}
    for argv in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *argv], check=True, env=env)
    commit, dirty = recording.source(tmp_path)
    assert (len(commit), dirty) == (40, False)
    (tmp_path / "new").touch()
    assert recording.source(tmp_path) == (commit, True)


def test_a_worker_that_dies_leaves_an_index_that_agrees(project: pytest.Pytester) -> None:
    (project.path / "suites" / "test_dies.py").write_text(
        "import os\n\ndef test_dies():\n    os._exit(1)\n"
    )
    done = project.runpytest_subprocess("suites", "-n", "2")
    assert done.ret == 2, done.stdout.str()
    run = _only(project)
    dead = _index(run).tests["suites/test_dies.py::test_dies"]
    assert dead.outcome is Outcome.UNKNOWN
    assert _verified(project, run).findings == []


def test_what_an_interrupted_test_left_is_uncertain_and_not_changed(
    project: pytest.Pytester,
) -> None:
    (project.path / "suites" / "test_interrupted.py").write_text(
        "from infraforge.selftests.bundles import STALE\n\n"
        "def test_interrupted(evidence):\n"
        "    evidence.attach(STALE)\n"
        "    raise KeyboardInterrupt\n"
    )
    assert project.runpytest_subprocess("suites").ret == 2
    found = _verified(project, _only(project))
    assert found.exit_code == 2
    told = "\n".join(map(str, found.findings))
    assert "-result.json: there is a result of it that the index does not know; the run" in told
    assert "belongs to no test of the index; the run was interrupted" in told
