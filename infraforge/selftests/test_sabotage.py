"""Sabotages: each fits the platform and names existing tests; what counts as caught."""

from __future__ import annotations

import argparse
import ast
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from infraforge.cli import main
from infraforge.cluster import state
from infraforge.errors import UsageError
from infraforge.profile import Profile
from infraforge.sabotage import case, command, groups, verdict
from infraforge.sabotage.case import Sabotage, has_test, pick
from infraforge.sabotage.command import CASES, ROOT, _chosen
from infraforge.sabotage.experiment import JOURNAL, Experiment, heal, in_journal
from infraforge.sabotage.verdict import Judgement, exit_code, failed, judge
from infraforge.stack import TREE
from infraforge.verdict import Outcome

NAMES = case.names(CASES)
A, B, C = (f"suites/x.py::test_{letter}" for letter in "abc")
HOLDS, BROKEN, UNKNOWN, SKIPPED = Outcome
PATCH = """\
--- a/platform/door.conf
+++ b/platform/door.conf
@@ -1,3 +1,2 @@
 listen 8443;
-ask who it is;
 let in;
"""
TOML = (
    'claim = "Nobody is asked."\ncomponents = ["door"]\nred = ["suites/test_door.py::test_asks"]\n'
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A platform of one file."""
    made = tmp_path / "platform"
    made.mkdir()
    (made / "door.conf").write_text("listen 8443;\nask who it is;\nlet in;\n")
    return made


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A folder with one good sabotage, `open-door`."""
    made = tmp_path / "sabotages"
    (made / "open-door").mkdir(parents=True)
    (made / "open-door" / "sabotage.toml").write_text(TOML)
    (made / "open-door" / "door.patch").write_text(PATCH)
    return made


def test_there_are_sabotages() -> None:
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_the_platform_and_the_suites(name: str, tmp_path: Path) -> None:
    """Its patches apply, its tests and components exist, and what it changes can still be read."""
    one = Sabotage.load(name, CASES)
    most = [Profile.load(name, TREE).components for name in ("enterprise", "minimal-ldap")]
    one.check(ROOT, {**most[0], **most[1]})  # all there is
    patched = one.patched(TREE, tmp_path)
    changed = [path for path in sorted(patched.rglob("*")) if path.is_file() and differs(path)]
    assert changed
    for path in map(Path.relative_to, changed, [patched] * len(changed)):
        if path.parts[0] == "components":
            assert path.parts[1] in one.components
        if path.suffix == ".py":
            ast.parse((patched / path).read_text())
        if path.suffix == ".toml":
            tomllib.loads((patched / path).read_text())


def differs(path: Path) -> bool:
    true = TREE / path.relative_to(next(p for p in path.parents if p.name == TREE.name))
    return not true.exists() or true.read_bytes() != path.read_bytes()


def test_the_true_tree_stays_as_it_is(tree: Path, cases: Path, tmp_path: Path) -> None:
    copy = Sabotage.load("open-door", cases).patched(tree, tmp_path / "work")
    assert (copy / "door.conf").read_text() == "listen 8443;\nlet in;\n"
    assert "ask" in (tree / "door.conf").read_text()
    assert [path.name for path in copy.iterdir()] == ["door.conf"]


def test_a_patch_that_does_not_fit_is_told_in_patchs_words(
    tree: Path, cases: Path, tmp_path: Path
) -> None:
    (tree / "door.conf").write_text("listen 8443;\nlet in;\n")
    with pytest.raises(UsageError, match=r"door\.patch does not apply.*\n.*door\.conf"):
        Sabotage.load("open-door", cases).patched(tree, tmp_path / "work")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("claim =", "sabotage.toml"),
        (TOML + 'reds = ["x"]\n', "unknown key 'reds'; known: claim, .*; did you mean 'red'\\?"),
        (TOML.replace("Nobody is asked.", " "), "claim must say"),
        (TOML.replace('["door"]', '"door"'), "components is 'door': must be a list"),
        (TOML.replace('["door"]', "[]"), "must each name at least one"),
        (TOML.replace("red = ", "undo_sql = "), "must each name at least one"),
        (TOML.replace("claim = ", "untried = "), "claim must say"),
        (TOML + "untried = true\n", "untried is True: input should be a valid string"),
        (TOML + "undo_sql = [1]\n", "undo_sql.0 is 1: input should be a valid string"),
    ],
)
def test_a_file_that_is_wrong_is_told(cases: Path, text: str, told: str) -> None:
    (cases / "open-door" / "sabotage.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        Sabotage.load("open-door", cases)


def test_a_folder_that_is_wrong_is_told(cases: Path) -> None:
    (cases / "open-door" / "door.patch").rename(cases / "open-door" / "door.diff")
    with pytest.raises(UsageError, match=r"neither .* nor a patch: door\.diff"):
        Sabotage.load("open-door", cases)
    (cases / "open-door" / "door.diff").unlink()
    with pytest.raises(UsageError, match="there is no patch"):
        Sabotage.load("open-door", cases)
    with pytest.raises(UsageError, match="there is no sabotage 'open-dor'; did you mean"):
        Sabotage.load("open-dor", cases)


def test_unknown_tests_and_components_are_told(cases: Path, tmp_path: Path) -> None:
    one = Sabotage.load("open-door", cases)
    with pytest.raises(UsageError, match="no component 'door'"):
        one.check(tmp_path, ["window"])
    with pytest.raises(UsageError, match=r"there is no test suites/test_door\.py::test_asks"):
        one.check(tmp_path, ["door"])
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_door.py").write_text("def test_asks(door):\n    assert door\n")
    one.check(tmp_path, ["door"])


def test_a_test_is_found_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "import nowhere\ndef test_a(): pass\ndef helper(): pass\n"
        "class TestMore:\n    def test_b(self): pass\n"
    )
    assert has_test(tmp_path, "x.py::test_a")
    assert has_test(tmp_path, "x.py::TestMore::test_b")
    for missing in ("x.py::test_b", "x.py", "x.py::helper", "x.py::TestMore", "y.py::test_a"):
        assert not has_test(tmp_path, missing)


def test_the_commit_chooses_and_in_time_chooses_all() -> None:
    known = [f"s{number}" for number in range(8)]
    assert pick(known, 2, "3") == ["s3", "s7"] == pick(known, 2, "b")
    assert pick(known, 3, "0") == ["s0", "s2", "s5"]
    assert pick(known, 8, "5") == pick(known, 99, "5") == known
    seen = {name for commit in range(8) for name in pick(known, 1, f"{commit:x}")}
    assert seen == set(known)
    with pytest.raises(UsageError, match="At least 1 of 8"):
        pick(known, 0, "3")


@pytest.mark.parametrize(
    ("outcomes", "outcome", "why"),
    [
        ({A: BROKEN, B: HOLDS, C: SKIPPED}, HOLDS, ""),
        ({f"{A}[1]": HOLDS, f"{A}[2]": BROKEN, B: HOLDS}, HOLDS, ""),
        ({A: HOLDS, B: HOLDS}, BROKEN, "not noticed by test_a"),
        ({A: HOLDS, B: BROKEN}, BROKEN, "not noticed by test_a"),
        ({A: BROKEN, B: BROKEN}, BROKEN, "more is red than named"),
        ({A: BROKEN, B: BROKEN, C: UNKNOWN}, BROKEN, "more is red than named"),
        ({A: UNKNOWN, B: HOLDS}, UNKNOWN, "some tests say nothing"),
        ({A: BROKEN, B: UNKNOWN}, UNKNOWN, "some tests say nothing"),
        ({A: SKIPPED, B: HOLDS}, UNKNOWN, "did not run: test_a"),
        ({B: HOLDS}, UNKNOWN, "did not run: test_a"),
        ({A: BROKEN}, UNKNOWN, "did not run: test_b"),
    ],
)
def test_caught_is_exactly_the_named_tests_red(
    outcomes: dict[str, Outcome], outcome: Outcome, why: str
) -> None:
    found = judge([A], outcomes, required=[B])
    assert (found.outcome, found.why) == (outcome, why)


def test_one_of_several_named_tests_that_stays_green_is_a_failure() -> None:
    found = judge([A, B], {A: BROKEN, B: HOLDS})
    assert (found.outcome, found.as_named, found.why) == (BROKEN, (A,), "not noticed by test_b")


def test_not_caught_beats_unknown_beats_caught() -> None:
    yes, no, unknown = Judgement(HOLDS, "", 1), Judgement(BROKEN, "", 1), failed([A], "no cluster")
    assert exit_code([yes, yes]) == 0
    assert exit_code([yes, unknown]) == exit_code([]) == 2
    assert exit_code([yes, unknown, no]) == 1


def test_the_table_tells_it_in_a_row() -> None:
    found = judge([A], {A: BROKEN, f"{B}[x]": BROKEN, C: UNKNOWN})
    table = verdict.table({"open-door": found})
    assert table["open-door", "caught?"] == "NO: more is red than named"
    assert table["open-door", "red as named"] == "1 of 1"
    assert table["open-door", "red but not named"] == "test_b"
    assert table["open-door", "unknown"] == "test_c"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say what to break"),
        (["--all", "any-password"], "say what to break"),
        (["--rotate", "0"], "'0' is not a number from 1"),
        (["any-pasword"], "did you mean 'any-password'"),
        (["any-password", "--only", "suites/nothing"], "no file or folder below"),
        (["any-password", "--only", "../elsewhere"], "no file or folder below"),
    ],
)
def test_bad_usage_is_taught(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sabotage", *arguments]) == 64
    assert told in capsys.readouterr().err


def test_what_a_killed_run_left_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path))
    assert in_journal("mine") == ""
    assert heal("mine") == []
    folder = state.cluster_dir("mine")
    folder.mkdir(parents=True)
    (folder / JOURNAL).write_text('{"sabotage": "any-password"}')
    assert in_journal("mine") == "any-password"


def test_the_list_says_what_each_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sabotage", "--list"]) == 0
    shown = capsys.readouterr().out
    assert NAMES
    assert all(name in shown for name in NAMES)


@pytest.mark.parametrize("profile", ["minimal", "minimal-ldap", "standard"])
def test_of_all_sabotages_those_are_tried_whose_components_there_are(profile: str) -> None:
    options = argparse.Namespace(names=[], all=True, rotate=None)
    found = Profile.load(profile, TREE)
    tried = {one.name for one in _chosen(options, NAMES, found)}
    for one in (Sabotage.load(name, CASES) for name in NAMES):
        there = {*found.components, *case.BELOW}  # what lies below is under every profile
        fits = set(one.components) <= there and set(one.red) <= set(found.required)
        assert (one.name in tried) == (fits and not one.untried), one.name


def test_a_sabotage_nobody_has_seen_caught_is_tried_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("seen", "unseen"):
        shutil.copytree(CASES / "any-password", tmp_path / name)
    path = tmp_path / "unseen" / case.FILE
    path.write_text('untried = "not yet seen on a cluster"\n' + path.read_text())
    monkeypatch.setattr(command, "CASES", tmp_path)
    known, minimal = case.names(tmp_path), Profile.load("minimal", TREE)

    def chosen(*names: str, every: bool = False) -> list[str]:
        options = argparse.Namespace(names=list(names), all=every, rotate=None)
        return [one.name for one in _chosen(options, known, minimal)]

    assert chosen(every=True) == ["seen"]
    assert chosen("unseen") == ["unseen"]


def second(cases: Path, name: str, red: str, *, patch: str = "") -> None:
    """Another sabotage of the same file: it lets nobody in."""
    (cases / name).mkdir()
    (cases / name / "sabotage.toml").write_text(TOML.replace("test_door.py::test_asks", red))
    (cases / name / "one.patch").write_text(patch or OTHER_PATCH)


OTHER_PATCH = """\
--- a/platform/window.conf
+++ b/platform/window.conf
@@ -1 +1 @@
-closed
+open
"""


def _names(made: list[groups.Group]) -> list[list[str]]:
    return [[member.name for member in group.members] for group in made]


def test_sabotages_with_tests_of_their_own_are_rolled_out_together(
    tree: Path, cases: Path, tmp_path: Path
) -> None:
    (tree / "window.conf").write_text("closed\n")
    second(cases, "open-window", "test_window.py::test_is_closed")
    both = [Sabotage.load(name, cases) for name in ("open-door", "open-window")]
    made = groups.grouped(both, tree, tmp_path / "work")
    assert _names(made) == [["open-door", "open-window"]]
    assert "ask" not in (made[0].tree / "door.conf").read_text()
    assert (made[0].tree / "window.conf").read_text() == "open\n"
    assert made[0].as_one.red == (*both[0].red, *both[1].red)
    assert _names(groups.grouped(both, tree, tmp_path / "alone", most=1)) == [
        ["open-door"],
        ["open-window"],
    ]
    assert (tree / "window.conf").read_text() == "closed\n"


def test_sabotages_of_one_test_or_of_the_same_lines_stay_apart(
    tree: Path, cases: Path, tmp_path: Path
) -> None:
    (tree / "window.conf").write_text("closed\n")
    second(cases, "same-test", "test_door.py::test_asks")
    second(cases, "same-lines", "test_window.py::test_is_closed", patch=PATCH)
    first = Sabotage.load("open-door", cases)
    for name in ("same-test", "same-lines"):
        made = groups.grouped([first, Sabotage.load(name, cases)], tree, tmp_path / name)
        assert _names(made) == [["open-door"], [name]]
        assert "ask" not in (made[0].tree / "door.conf").read_text()
        assert "closed" in (made[0].tree / "window.conf").read_text()


def member(name: str, *red: str) -> Sabotage:
    return Sabotage(name, "It is broken.", ("door",), red, ())


@pytest.mark.parametrize(
    ("as_named", "parts"),
    [
        ((A, C), [["b"], ["a", "c"]]),
        ((A, B, C), [["a", "b"], ["c"]]),  # more is red than named: nobody knows by whom
        ((), [["a", "b"], ["c"]]),
    ],
)
def test_a_group_that_is_not_caught_is_split(as_named: tuple[str, ...], parts: object) -> None:
    group = groups.Group((member("a", A), member("b", B), member("c", C)), Path("x"))
    said = Judgement(BROKEN, "more is red than named", 3, as_named)
    assert [[one.name for one in part] for part in group.split(said)] == parts


def test_every_member_of_a_group_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Caught as a whole, each is caught; else a group is split until the odd one stands alone."""
    blind, asked, confirmed = "b", [], []

    def judgement(self: Experiment) -> Judgement:
        asked.append(self.sabotage.red)
        red = {name: BROKEN for name in self.sabotage.red if not name.endswith(f"test_{blind}")}
        return judge(self.sabotage.red, {A: HOLDS, B: HOLDS, C: HOLDS, **red})

    def regrouped(chosen: Sequence[Sabotage], *_: object, **__: object) -> list[groups.Group]:
        return [groups.Group(tuple(chosen), tmp_path)]

    def confirmation(_: Experiment, found: Judgement) -> Judgement:
        confirmed.append(found.as_named)
        return found

    monkeypatch.setattr(Experiment, "judgement", judgement)
    monkeypatch.setattr(Experiment, "confirmed", confirmation)
    monkeypatch.setattr(command, "grouped", regrouped)
    monkeypatch.setattr(command, "REPORT", tmp_path / "sabotage.md")
    members = (member("a", A), member("b", B), member("c", C))
    trial = command.Trial("mine", Profile.load("minimal", TREE), tmp_path)
    found = trial.of_all([groups.Group(members, tmp_path)])
    assert {name: one.outcome for name, one in found.items()} == {
        "a": HOLDS,
        "b": BROKEN,
        "c": HOLDS,
    }
    assert asked == [(A, B, C), (B,)]
    assert confirmed == [(A, C)]
    assert (found["a"].beside, found["a"].named, found["b"].beside) == (2, 1, 0)
    said = capsys.readouterr().out
    assert "not noticed by test_b" in said
    assert "into: b\n" in said


def test_a_part_of_the_tests_never_counts_as_caught() -> None:
    """A sabotage that turns another test red as well would not be noticed."""
    whole = judge([A], {A: BROKEN, B: HOLDS})
    part = verdict.of_a_part(whole)
    assert (whole.outcome, part.outcome) == (HOLDS, UNKNOWN)
    assert "the other tests did not run" in part.why
    for said in (Judgement(BROKEN, "blind", 1), Judgement(UNKNOWN, "silent", 1)):
        assert verdict.of_a_part(said) == said


@pytest.mark.parametrize(
    ("judgement", "caught"),
    [
        (Judgement(UNKNOWN, "", 3, (A, C), unknown=(B,)), ["a", "c"]),
        (Judgement(BROKEN, "", 3, (A, C)), ["a", "c"]),
        (Judgement(UNKNOWN, "", 3, (A, B, C), unknown=("suites/x.py::test_d",)), []),
        (Judgement(BROKEN, "", 3, (A, C), not_named=("suites/x.py::test_d",)), []),
        (Judgement(UNKNOWN, "the tests did not run", 3), []),
        (Judgement(UNKNOWN, "not only then: test_a", 3, (A, B, C)), []),
        (Judgement(HOLDS, "", 3, (A, B, C)), ["a", "b", "c"]),
    ],
)
def test_a_member_is_caught_only_where_all_that_is_odd_is_anothers(
    judgement: Judgement, caught: list[str]
) -> None:
    group = groups.Group((member("a", A), member("b", B), member("c", C)), Path("x"))
    assert [one.name for one in group.caught(judgement)] == caught
