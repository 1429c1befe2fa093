"""The report's own parts: controls, the folder it is written to, the page; no npm, no browser."""

from __future__ import annotations

import argparse
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from infraforge import evidence, report
from infraforge.bench import command as bench
from infraforge.errors import UsageError
from infraforge.images import archive
from infraforge.places import MARKER
from infraforge.report import allure, build, bundle, command, controls, signing, verify
from infraforge.report.container import read
from infraforge.report.controls import State
from infraforge.report.index import Entry, Index, Phase, Profiled
from infraforge.runs import Run
from infraforge.selftests import bundles
from infraforge.table import Table
from infraforge.verdict import Outcome

CROSSWALK = {"C1": {"framework": "F", "title": "<one>"}, "C2": {"framework": "F", "title": "two"}}
MINIMAL = Profiled("minimal", ("backend", "vault"), ("t::required", "t::cases"))


def _skipped(why: str) -> Entry:
    return Entry(Outcome.SKIPPED, ("C1",), {"setup": Phase("skipped", why=why)})


def _index(
    tests: Mapping[str, Entry], expected: Mapping[str, tuple[str, ...]] | None = None
) -> Index:
    known = dict.fromkeys(tests, ("C1",)) if expected is None else expected
    return Index("r", "now", ended="later", profile=MINIMAL, tests=tests, expected=known)


def _said(*outcomes: str) -> dict[str, Entry]:
    return {f"t{at}": Entry(Outcome(said), ("C1",)) for at, said in enumerate(outcomes)}


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([], State.NOT_ASSESSED),
        (["skipped"], State.NOT_ASSESSED),
        (["holds"], State.HOLDS),
        (["holds", "skipped"], State.PARTLY),
        (["holds", "unknown"], State.UNKNOWN),
        (["holds", "unknown", "broken"], State.BROKEN),
        (["skipped", "broken"], State.BROKEN),
        (["skipped", "unknown"], State.UNKNOWN),
    ],
)
def test_a_control_has_the_state_of_its_worst_test(outcomes: list[str], state: State) -> None:
    first, second = controls.assess(_index(_said(*outcomes)), CROSSWALK)
    assert first.state is state
    assert second.state is State.NOT_ASSESSED


@pytest.mark.parametrize("ran", [0, 1, 29, 30])
def test_a_control_is_green_only_by_all_of_its_tests(ran: int) -> None:
    expected = {f"t{at}": ("C1",) for at in range(30)} | {"other": ("C2",)}
    index = _index(_said(*["holds"] * ran), expected)
    first, second = controls.assess(index, CROSSWALK)
    state = {0: State.NOT_ASSESSED, 30: State.HOLDS}.get(ran, State.PARTLY)
    assert (first.state, first.counts) == (state, (ran, 30))
    assert (second.state, second.counts) == (State.NOT_ASSESSED, (0, 1))


def test_each_case_of_a_test_counts() -> None:
    expected = {f"t::x[{case}]": ("C1",) for case in "abc"}
    tests = {node: Entry(Outcome.HOLDS, ("C1",)) for node in list(expected)[:2]}
    (first, _) = controls.assess(_index(tests, expected), CROSSWALK)
    assert (first.state, first.counts) == (State.PARTLY, (2, 3))
    assert "t::x (2 cases)" in controls.page(_index(tests, expected), [first])


def test_nothing_is_green_where_the_suites_are_unknown() -> None:
    index = Index("r", "now", tests=_said("holds"), expected_lacks="It was not looked.")
    (first, _) = controls.assess(index, CROSSWALK)
    assert first.state is State.PARTLY
    assert "It was not looked." in controls.page(index, [first])


@pytest.mark.parametrize(
    ("node", "why", "state"),
    [
        # what the profile lacks, said by the test and not required by the profile
        ("t::queue", "needs a queue; profile minimal has none", State.HOLDS),
        ("t::directory", "needs a directory; profile minimal has userpass", State.HOLDS),
        # a case of a required test, about a component that is truly absent
        ("t::cases[nats]", "profile minimal has no nats", State.HOLDS),
        # a component that is there after all
        ("t::cases[vault]", "profile minimal has no vault", State.PARTLY),
        # required of the profile, whatever it says
        ("t::required", "needs a queue; profile minimal has none", State.PARTLY),
        # another profile's word
        ("t::queue", "needs a queue; profile standard has none", State.PARTLY),
        ("t::queue", "no reason", State.PARTLY),
        ("t::queue", "not on this cluster: a way onto the nodes", State.PARTLY),
    ],
)
def test_exactly_what_the_profile_lacks_is_left_out(node: str, why: str, state: State) -> None:
    tests = {"t::other": Entry(Outcome.HOLDS, ("C1",)), node: _skipped(why)}
    (first, _) = controls.assess(_index(tests), CROSSWALK)
    assert first.state is state
    said = first.tests[node]
    assert said == (controls.INAPPLICABLE if state is State.HOLDS else controls.NOT_RUN)


def test_the_page_of_controls_says_of_which_run_it_is_and_escapes(tmp_path: Path) -> None:
    index = Index.from_json(bundles.run_in(tmp_path).index.read_bytes())
    page = controls.page(index, controls.assess(index, CROSSWALK))
    assert "&lt;one&gt;" in page
    assert "1 holds · 1 broken · 0 unknown · 0 partly assessed · 0 not assessed" in page
    for told in (index.run, index.commit[:12], "profile minimal", "2026-11-27T20:15:00Z"):
        assert told in page
    assert "Exit code 1" in page
    assert "4 of 4 tests ran" in page
    assert "does not apply" in page


def test_tests_name_only_controls_of_the_crosswalk() -> None:
    root = evidence.REPORTS.parent
    files = [path for folder in ("suites", "chaos") for path in (root / folder).rglob("*.py")]
    marked = re.compile(r"\bmark\.control\((.*?)\)")
    marks = [mark for path in files for mark in marked.findall(path.read_text())]
    named = {name for mark in marks for name in re.findall(r'"([^"]+)"', mark)}
    assert named
    assert named - set(evidence.known_controls()) == set()


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = bundles.run_in(tmp_path).index.read_text()
    assert Index.from_json(text).to_json() == text
    for old, new in (
        ('"schema": 1', '"schema": 2'),
        ('"dirty"', '"odd"'),
        ('"status": "passed"', '"status": "odd"'),
        ('"outcome": "holds"', '"outcome": "odd"'),
        (" ", "  "),
    ):
        assert old in text
        with pytest.raises(ValueError, match="not the index of a run"):
            Index.from_json(text.replace(old, new, 1))


# the folder


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `reports` folder with one run, and an Allure that takes no time."""
    reports = tmp_path / "reports"
    bundles.run_in(reports)
    (reports / "controls.toml").write_text(bundles.CROSSWALK)
    for part in (build, command):
        monkeypatch.setattr(part, "REPORTS", reports)
    monkeypatch.setattr(build, "CROSSWALK", reports / "controls.toml")
    monkeypatch.setattr(build, "known_controls", lambda: evidence.known_controls(reports))

    def render(
        _results: Path, out: Path, title: str, history: Path, *, append: bool = True
    ) -> Path:
        history.write_text(history.read_text() if history.exists() else "" + append * "{}\n")
        (out / "index.html").write_text(f"<title>{title}</title>")
        return out / "index.html"

    monkeypatch.setattr(allure, "render", render)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def _report(checkout: Path, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser.add_subparsers())
    places = [f"--out={checkout / 'out'}", f"--bundle={checkout / 'b.zip'}"]
    options = parser.parse_args(["report", *places, *argv])
    return int(options.run(options))


def test_the_latest_run_is_reported_and_named_and_its_bundle_holds(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second time in place of the first
        assert _report(checkout) == 0
    out = capsys.readouterr().out
    name = "20261127T201500Z-1a2b3c"
    assert out.startswith(f"run {name} · commit abababababab · profile minimal · began 2026-11-27T")
    assert f"run {name}" in (checkout / "out" / "index.html").read_text()
    assert f"run {name}" in (checkout / "out" / "controls.html").read_text()
    examined = verify.examine(read(checkout / "b.zip"))
    assert (examined.exit_code, examined.findings) == (0, [])
    digest = bundle.sha256((checkout / "b.zip").read_bytes())
    assert f"(sha256 {digest})" in out
    key = signing.signer()
    assert f"signed by: {signing.fingerprint(key.public)} (public key: {key.path})" in out
    assert sorted(path.name for path in checkout.iterdir()) == ["b.zip", "config", "out", "reports"]


def test_another_run_is_reported_by_its_id(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = Run(checkout / "reports" / "runs" / "20261128T000000Z-000000")
    bundles.run_in(checkout / "reports" / "x").folder.rename(newer.folder)
    text = newer.index.read_text().replace("20261127T201500Z-1a2b3c", newer.id)
    newer.index.write_text(text)
    assert _report(checkout) == 0
    assert f"run {newer.id}" in capsys.readouterr().out
    assert _report(checkout, "--run=20261127T201500Z-1a2b3c") == 0
    assert "run 20261127T201500Z-1a2b3c" in capsys.readouterr().out
    with pytest.raises(UsageError, match="there is no run 'odd'"):
        _report(checkout, "--run=odd")
    assert _report(checkout, "--list") == 0
    assert f"\n{newer.id}  2026-11-27T20:15:00Z  minimal" in capsys.readouterr().out


def test_a_damaged_index_is_told_in_words(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "reports" / "runs" / "20261127T201500Z-1a2b3c" / "index.json").write_text("{")
    with pytest.raises(build.RunUnreadable, match="report --list"):
        _report(checkout)
    assert _report(checkout, "--list") == 0
    assert "not the index of a run" in re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("where", ["out", "bundle", "history"])
def test_foreign_files_are_never_overwritten(checkout: Path, where: str) -> None:
    precious = checkout / "precious"
    if where == "out":
        precious.mkdir()
    kept = precious / "thesis" if where == "out" else precious
    kept.write_text("words")
    with pytest.raises(UsageError, match="precious"):
        _report(checkout, f"--{where}={precious}")
    assert kept.read_text() == "words"
    assert not (checkout / "config").exists()  # refused before anything is made


def test_a_report_is_never_written_over_the_user_or_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout / "home"))
    (checkout / "home").mkdir()
    (checkout / "work").mkdir()
    monkeypatch.chdir(checkout / "work")
    for odd in (Path("/"), Path.home(), Path.cwd(), Path(), checkout, checkout / "reports"):
        with pytest.raises(UsageError):
            _report(checkout, f"--out={odd}")
    for odd in (checkout / "reports" / "runs" / "x", checkout / "reports" / "runs"):
        with pytest.raises(UsageError):
            _report(checkout, f"--out={odd}")
    with pytest.raises(UsageError, match="in the report's own folder"):
        _report(checkout, f"--bundle={checkout / 'out' / 'b.zip'}")


def test_a_report_that_fails_leaves_the_last_one(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _report(checkout) == 0

    def fails(*_: object, **__: object) -> Path:
        raise allure.ReportFailed("no page")

    monkeypatch.setattr(allure, "render", fails)
    with pytest.raises(allure.ReportFailed):
        _report(checkout)
    assert (checkout / "out" / MARKER).exists()
    assert (checkout / "out" / "index.html").exists()


def test_no_run_no_report(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "REPORTS", checkout / "elsewhere")
    with pytest.raises(UsageError, match="first run: pytest suites"):
        _report(checkout)


# what other commands write


def test_an_export_overwrites_only_a_bundle_of_images(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "images.tar", tmp_path / "theirs.tar"
    (tmp_path / "infraforge.json").write_text("{}")
    (tmp_path / "other").write_text("{}")
    for path, member in ((ours, "infraforge.json"), (theirs, "other")):
        with tarfile.open(path, "w") as tar:
            tar.add(tmp_path / member, member)
    archive.refuse_foreign(ours)
    archive.refuse_foreign(tmp_path / "absent.tar")
    for odd in (theirs, tmp_path / "other"):
        with pytest.raises(UsageError, match="is not an archive of images"):
            archive.refuse_foreign(odd)


@pytest.mark.parametrize(
    ("text", "ours"), [('{"a": 1.5}', True), ('{"a": "b"}', False), ("words", False), ("[]", False)]
)
def test_figures_overwrite_only_figures(tmp_path: Path, text: str, ours: bool) -> None:
    (tmp_path / "f").write_text(text)
    assert bench._is_figures(tmp_path / "f") is ours


# the page


def test_tables_are_evidence_without_a_history() -> None:
    (kept,) = evidence.attachments(Table({("a", "b"): True}), "")
    assert "yes" in str(kept.body)


def test_the_page_counts_no_visitors() -> None:
    counted = (
        '<head><script async src="https://x/gtag/js?id=1"></script>\n'
        "<script>function gtag(){}; gtag('js')</script><title>t</title></head><body>gtag(</body>"
    )
    assert allure.without_tracking(counted) == "<head><title>t</title></head><body>gtag(</body>"
    with pytest.raises(allure.ReportFailed):
        allure.without_tracking("<head><script>gtag('js')</script></head>")


def test_the_first_page_leads_to_the_controls() -> None:
    page = '<body>\n    <div id="app"></div>\n</body>'
    linked = allure.with_controls(page)
    assert linked.index('<a href="controls.html"') < linked.index('<div id="app">')
    with pytest.raises(allure.ReportFailed, match="no place for a link"):
        allure.with_controls("<body><main></main></body>")


def test_each_page_of_a_report_leads_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that `render` writes has the link, whatever Allure put into it."""

    def generated(argv: list[str], *_: object) -> str:
        made = Path(argv[argv.index("--output") + 1]) / "awesome"
        made.mkdir(parents=True)
        (made / "index.html").write_text('<head></head><body><div id="app"></div></body>')
        return ""

    monkeypatch.setattr(allure.npm, "installed", lambda *_: tmp_path)
    monkeypatch.setattr(allure.npm, "run", generated)
    page = allure.render(tmp_path, tmp_path, "title")
    assert '<a href="controls.html"' in page.read_text()
    assert '<a href="index.html"' in controls._PAGE
