"""A bundle: verify names every change to it, and recomputes its verdicts."""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infraforge import checkers, report
from infraforge.errors import UsageError
from infraforge.report import bundle, container, harness, signing, verify
from infraforge.report.container import Content
from infraforge.report.index import Entry, Index, Phase
from infraforge.selftests import bundles
from infraforge.selftests.bundles import PASSED, T, forged
from infraforge.verdict import Outcome, Rule, holds

RESULTS = "run/allure-results"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.packed(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def content(whole: Path) -> Content:
    return container.read(whole)


def verified(path: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser.add_subparsers())
    options = parser.parse_args(["verify", str(path), *more])
    return int(options.run(options))


def said(content: Content) -> tuple[int, str]:
    found = verify.examine(content)
    return found.exit_code, "\n".join(map(str, found.findings))


def test_a_whole_bundle_agrees_and_every_verdict_is_made_again(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(whole) == 0
    out = capsys.readouterr().out
    assert "6 tests, 4 verdicts, 4 recomputed; 0 findings" in out
    assert "1 tests rest on assertions in their own code" in out
    assert f"cannot be recomputed: {T}asserted\n" in out
    assert "proves nothing about the signer" in out


def test_one_flipped_bit_anywhere_is_seen(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    flipped, named = tmp_path / "flipped.zip", 0
    rng = random.Random(20261127)  # noqa: S311 - places in a file
    places = {*range(0, 64), *range(len(data) - 128, len(data)), *rng.sample(range(len(data)), 400)}
    for at in sorted(places):
        data[at] ^= 1 << rng.randrange(8)
        flipped.write_bytes(data)
        code, words = said(container.read(flipped))
        assert code == 1, f"byte {at}: {words}"
        named += any(name in words for name in ("run/", "report/", "controls.toml", "signer.pub"))
        data[:] = whole.read_bytes()
    assert named > len(places) / 2


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_bundle_that_was_cut_off_is_damaged(whole: Path, tmp_path: Path, share: float) -> None:
    data = whole.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(data[: int(len(data) * share)])
    assert verified(cut) == 1


def test_what_is_no_zip_is_damaged_and_what_is_no_file_is_usage(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words " * 100)
    assert verified(tmp_path / "text") == 1
    for odd in (tmp_path, tmp_path / "missing.zip", Path(os.devnull)):
        with pytest.raises(UsageError):
            verified(odd)


def member(content: Content, ending: str, test: str = "") -> str:
    return next(name for name in content.members if name.endswith(ending) and test in name)


def test_what_was_changed_left_out_or_put_in_is_named(content: Content) -> None:
    changed, gone = member(content, ".jsonl", "kept"), member(content, "-result.json")
    content.members[changed] = b""
    del content.members[gone]
    content.members["new"] = b""
    code, words = said(content)
    assert code == 1
    for told in (f"{changed} was changed", f"{gone} is missing", "new was added"):
        assert told in words


Change = Callable[[Content], dict[str, bytes | None]]


def _index(content: Content, old: str, new: str) -> dict[str, bytes | None]:
    text = content.members[bundle.RUN_INDEX].decode()
    assert old in text
    return {bundle.RUN_INDEX: text.replace(old, new, 1).encode()}


def _member(content: Content, name: str, old: str, new: str) -> dict[str, bytes | None]:
    text = content.members[name].decode()
    assert old in text
    return {name: text.replace(old, new, 1).encode()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: _index(c, '"exit_code": 1', '"exit_code": 0'), "exit code is 0"),
        (lambda c: _index(c, '"broken": 1', '"broken": 0'), "tally"),
        (lambda c: _index(c, '"outcome": "broken"', '"outcome": "holds"'), "test_stale"),
        (lambda c: _index(c, f'   "{T}kept",\n', f'   "{T}other",\n'), "missing tests"),
        (lambda c: {member(c, ".jsonl", "kept"): None}, "test_kept: its history is missing"),
        (lambda c: {member(c, ".verdict.json", "kept"): None}, "test_kept: its verdict"),
        (lambda c: {f"{RESULTS}/x-attachment.jsonl": b""}, "belongs to no test"),
        (lambda c: {f"{RESULTS}/x-attachment.verdict.json": b"{}"}, "belongs to no test"),
        (
            lambda c: _member(c, f"{RESULTS}/stale-result.json", "failed", "passed"),
            "test_stale: counted as broken, but its result says passed",
        ),
        (lambda c: {f"{RESULTS}/kept-result.json": None}, "test_kept: it has no result"),
        (
            lambda c: _member(c, f"{RESULTS}/kept-result.json", '"value": "su', '"value": "new'),
            "a result of it that the index does not know",
        ),
        (
            lambda c: _member(c, bundle.CONTROLS_JSON, '"state": "broken"', '"state": "holds"'),
            "control C2: kept as holds, but its tests say broken",
        ),
        (lambda c: _member(c, bundle.CONTROLS_HTML, "broken", "holds"), "controls.html is not"),
        (lambda c: {bundle.CONTROLS_HTML: None}, "controls.html cannot be had"),
        (lambda c: {bundle.RUN_INDEX: None}, "nothing says what ran"),
        (lambda c: {"report/index.html": None}, "report/index.html cannot be had"),
    ],
)
def test_what_does_not_follow_is_told_however_well_it_is_signed(
    content: Content, change: Change, told: str
) -> None:
    code, words = said(forged(content, change(content)))
    assert code == 1
    assert told in words


@pytest.mark.parametrize(
    ("why", "code", "unable"),
    [("not on this cluster: a way in", 3, (f"{T}cells[b]",)), ("not today", 2, ())],
)
def test_only_a_case_that_says_so_is_one_that_this_cluster_cannot_run(
    tmp_path: Path, why: str, code: int, unable: tuple[str, ...]
) -> None:
    """A list of such cases that is at odds with what they say excuses nothing."""
    skipped = Entry(Outcome.SKIPPED, phases=PASSED | {"call": Phase("skipped", "", why)})
    tests = {f"{T}kept": Entry(Outcome.HOLDS, phases=PASSED), f"{T}cells[b]": skipped}
    listed = (f"{T}cells[b]",)
    run = bundles.run_in(tmp_path, tests=lambda _: tests, unable=listed, pytest_status=0)
    found = Index.from_json(run.index.read_bytes()).concluded
    assert (found.exit_code, found.unable) == (code, unable)
    assert (found.missing == ()) is (code == 3)


def test_a_verdict_that_its_history_does_not_bear_out_is_told(tmp_path: Path) -> None:
    path = bundles.packed(tmp_path)
    content = container.read(path)
    file = member(content, ".verdict.json", "stale")
    old = content.members[file]
    new = old.replace(b'"broken"', b'"holds"')
    text = content.members[bundle.RUN_INDEX].decode()
    text = text.replace(bundle.sha256(old), bundle.sha256(new))
    text = text.replace(
        '"name": "no_stale_read",\n     "outcome": "broken"',
        '"name": "no_stale_read",\n     "outcome": "holds"',
    )
    code, words = said(forged(content, {file: new, bundle.RUN_INDEX: text.encode()}))
    assert code == 1
    assert "kept as holds, but it is broken" in words


def test_a_verdict_that_cannot_be_made_again_is_unknown_and_named(tmp_path: Path) -> None:
    def tests(folder: Path) -> dict[str, Entry]:
        unread = bundles.check(bundles.KEPT, bundles.no_stale_read)
        lonely = bundles.attached(folder, "test_lonely", unread)
        bare = bundles.attached(folder, "test_bare", holds("mine", "I say so"))
        return {
            f"{T}lonely": Entry(Outcome.UNKNOWN, (), PASSED, lonely),
            f"{T}bare": Entry(Outcome.HOLDS, (), PASSED, bare),
        }

    path = bundles.packed(tmp_path, tests=tests)
    code, words = said(container.read(path))
    assert code == 2, words
    assert "test_lonely: verdict no_stale_read: its history was not kept" in words
    assert "test_bare: verdict mine: it names no checker" in words


def test_a_checker_of_the_tests_own_cannot_be_made_again() -> None:
    rule = Rule.of(lambda history: holds("x", "x"))
    kept = {"name": "x", "outcome": "holds", "explanation": "x", "history": "d"}
    judged = verify.rejudge.judge("t", {**kept, "checker": rule.to_dict()}, {"d": b""})
    assert judged.again is None
    assert "its checker is the test's own" in judged.lacks


def test_a_run_that_did_not_end_says_nothing(tmp_path: Path) -> None:
    code, words = said(container.read(bundles.packed(tmp_path, ended="", pytest_status=None)))
    assert code == 2, words
    assert "did not come to its end" in words


def test_a_bundle_without_verdicts_proves_nothing(tmp_path: Path) -> None:
    tests = lambda _: {f"{T}asserted": Entry(Outcome.HOLDS, (), PASSED)}  # noqa: E731
    code, words = said(container.read(bundles.packed(tmp_path, tests=tests)))
    assert code == 2, words
    assert "it holds no verdict" in words


def test_another_version_of_the_harness_is_uncertain(tmp_path: Path) -> None:
    path = bundles.packed(tmp_path, harness={"version": "9", "code": "other"})
    code, words = said(container.read(path))
    assert code == 2, words
    assert "another version of the harness" in words


def test_the_printed_hash_is_compared(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = bundle.sha256(whole.read_bytes())
    assert verified(whole, "--sha256", digest) == 0
    assert verified(whole, "--sha256", digest.upper()) == 0
    assert verified(whole, "--sha256", "0" * 64) == 1
    assert digest in capsys.readouterr().out
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        verified(whole, "--sha256", "abc")


def test_the_signer_is_checked(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.pub").write_bytes(signing.pem(bundles.KEY.public_key()))
    other = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "other.pub").write_bytes(signing.pem(other))
    (tmp_path / "none.pub").write_text("words")
    assert verified(whole, "--public-key", str(tmp_path / "own.pub")) == 0
    assert "signed by the key that you named" in capsys.readouterr().out
    assert verified(whole, "--public-key", str(tmp_path / "other.pub")) == 1
    assert "signed by another key" in capsys.readouterr().out
    for odd in ("none.pub", "missing.pub"):
        with pytest.raises(UsageError):
            verified(whole, "--public-key", str(tmp_path / odd))


def test_a_bundle_signed_anew_is_not_the_signers(content: Content) -> None:
    changed = forged(content, _index(content, '"dirty": false', '"dirty": true'))
    assert verify.examine(changed).exit_code == 1  # the page of controls says otherwise
    trusted = Ed25519PrivateKey.generate().public_key()
    assert "signed by another key" in str(verify.examine(changed, trusted).findings)


def test_the_statement_is_of_in_totos_kind(content: Content) -> None:
    key = bundles.KEY.public_key()
    found = signing.opened(content.members[bundle.ATTESTATION], key)
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert found["predicate"]["result"] == "FAILED"
    assert found["predicate"]["failedTests"] == [f"{T}stale"]
    assert f"{T}queue" not in found["predicate"]["passedTests"]
    manifest = content.members[bundle.MANIFEST]
    assert found["subject"][0]["digest"]["sha256"] == bundle.sha256(manifest)
    assert {"gitCommit": "ab" * 20} in [one["digest"] for one in found["subject"]]


@pytest.mark.parametrize(
    ("code", "result"),
    [(0, "PASSED"), (1, "FAILED"), (2, "FAILED"), (3, "WARNED"), (None, "FAILED")],
)
def test_nothing_but_exit_code_0_passes(code: int | None, result: str) -> None:
    concluded = bundles.Conclusions({}, (), (), code)
    index = Index("r", "now", concluded=concluded)
    assert signing.statement(index, b"", {})["predicate"]["result"] == result


# hostile containers


def _zip(path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return path


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    code, words = said(container.read(_zip(tmp_path / "b", [("bomb", bytes(64 * 2**20))])))
    assert code == 1
    assert "bomb would unpack to more than" in words


def test_a_member_that_lies_about_its_size_is_not_believed(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b", [("m", b"x" * 5000)])
    data = path.read_bytes()
    path.write_bytes(data.replace((5000).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    assert "m is damaged" in said(container.read(path))[1]
    path.write_bytes(data.replace((5000).to_bytes(4, "little"), (2**31).to_bytes(4, "little")))
    assert "m would unpack to" in said(container.read(path))[1]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "c:/x", "a//b", "a\\b", "\x1b[31m", "./x"]
)
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str) -> None:
    code, words = said(container.read(_zip(tmp_path / "b", [(zipfile.ZipInfo(name), b"x")])))
    assert code == 1
    assert "leads elsewhere" in words
    assert "\x1b" not in words


def test_doubled_encrypted_and_hidden_members_are_told(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    shutil.copy(whole, path)
    with zipfile.ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr(bundle.RUN_INDEX, b"{}")
    assert f"{bundle.RUN_INDEX} is there twice" in said(container.read(path))[1]
    data = bytearray(whole.read_bytes())
    at = data.index(b"PK\x01\x02") + 8  # flags of the first member in the central directory
    data[at] |= 1
    path.write_bytes(data)
    assert f"{bundle.RUN_INDEX} is encrypted" in said(container.read(path))[1]
    path.write_bytes(b"#!/bin/sh\n" + whole.read_bytes())
    code, words = said(container.read(path))
    assert code == 1
    assert "hidden bytes" in words


def test_a_member_packed_in_another_way_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("m", b"x" * 5000)
    assert "m is packed by method 14" in said(container.read(tmp_path / "b"))[1]


def test_what_a_bundle_says_is_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundles.packed(tmp_path, commit="\x1b[2J\n")
    assert verified(path) in (0, 1)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"commit": "', '"commit": 5, "x": "'),
        ('"run": "20261127T201500Z-1a2b3c"', '"run": 5'),
        ('"exit_code": 1', '"exit_code": []'),
        ('"says": "broken"', '"says": "odd"'),
        ('"outcome": "holds",\n     "verdict"', '"outcome": "odd",\n     "verdict"'),
        ('"why": ""', '"why": {}'),
        ('"kept": []', '"kept": [5]'),
        ('"kept": []', '"kept": [{}]'),
        ('"profile": {', '"profile": 5, "x": {'),
        ('"tests": {', '"tests": [], "x": {'),
    ],
)
def test_an_index_of_odd_kinds_is_told(content: Content, old: str, new: str) -> None:
    text = content.members[bundle.RUN_INDEX].decode()
    assert old in text
    content.members[bundle.RUN_INDEX] = text.replace(old, new, 1).encode()
    code, words = said(content)
    assert code == 1
    assert f"{bundle.RUN_INDEX}: not the index of a run" in words


def test_too_many_members_are_not_read(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MEMBERS", 3)
    code, words = said(container.read(whole))
    assert code == 1
    assert "more than 3 members" in words


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 2}', b"[" * 100_000, b"\xff"]
)
def test_an_index_that_is_none_is_told(content: Content, text: bytes) -> None:
    content.members[bundle.RUN_INDEX] = text
    code, words = said(content)
    assert code == 1
    assert f"{bundle.RUN_INDEX} was changed" in words


@pytest.mark.parametrize(
    "name", [bundle.MANIFEST, bundle.ATTESTATION, bundle.SIGNER, bundle.CROSSWALK]
)
@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{}", b"x = [", None])
def test_any_member_may_be_anything(content: Content, name: str, text: bytes | None) -> None:
    if text is None:
        del content.members[name]
    else:
        content.members[name] = text
    code, words = said(content)
    assert code == 1
    assert name in words or "the manifest does not have it" in words


def test_verify_works_without_the_repository(whole: Path, tmp_path: Path) -> None:
    """From the package alone, as it is installed: no platform/, no reports/ beside it."""
    package = Path(report.__file__).parents[1]
    left_out = shutil.ignore_patterns("selftests", "__pycache__")
    shutil.copytree(package, tmp_path / "infraforge", ignore=left_out)
    program = "import sys; from infraforge.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "verify", str(whole)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it agrees" in done.stdout


def test_the_digest_of_the_harness_is_that_of_what_judges() -> None:
    assert len(harness.code()) == 64


def test_the_key_is_made_once_and_is_the_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first, second = signing.signer(), signing.signer()
    assert signing.fingerprint(first.public) == signing.fingerprint(second.public)
    key = tmp_path / "infraforge" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert signing.public_key(first.path.read_bytes())
    key.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        signing.signer()


def test_a_key_that_is_brought_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for text in (b"", b"words"):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(UsageError, match="not an unencrypted key"):
            signing.signer(path)
    with pytest.raises(UsageError, match="No such file"):
        signing.signer(tmp_path / "missing")
    path.write_bytes(
        bundles.KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UsageError, match="not an unencrypted key"):
        signing.signer(path)


def _judging_calls() -> list[tuple[Path, ast.Call]]:
    """Where suites and experiments have a history judged: `check(history, checker, …)`."""
    root = Path(report.__file__).parents[2]
    return [
        (path, node)
        for folder in ("suites", "chaos")
        for path in sorted((root / folder).rglob("*.py"))
        if "from infraforge.verdict import check" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "check"
    ]


def test_every_history_in_the_suites_is_judged_by_a_checker_that_verify_has() -> None:
    names = {name: getattr(checkers, name) for name in checkers.__all__}
    calls = _judging_calls()
    assert calls
    for path, call in calls:
        for expression in call.args[1:]:
            made = eval(ast.unparse(expression), {"__builtins__": {}}, names)  # noqa: S307
            rule = Rule.of(made)
            assert checkers.of(Rule.from_dict(rule.to_dict())) == made, f"{path}: {rule}"
