"""A small bundle of the demo's own verdicts: packed, signed, and damaged by one byte."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infraforge import evidence, runs
from infraforge.demo.lessons import Lesson
from infraforge.report import bundle, controls, harness, signing
from infraforge.report.index import Entry, Index, Phase
from infraforge.runs import Run
from infraforge.verdict import Outcome, Verdict

_RAN_WITH_FAILURES = 1
"""Pytest's exit code of such a run; the index keeps it beside what the tests say."""

_LOCAL_HEADER = 30
"""Bytes of a zip member's local header before its name (APPNOTE 4.3.7)."""


def make(work: Path, judged: Sequence[tuple[Lesson, Verdict]], page: str) -> tuple[Path, str]:
    """A bundle of these verdicts below `work`, and the fingerprint of the key that signed it.

    page: HTML, in the place of Allure's. The key is made for this bundle and kept nowhere.
    """
    run = _run(work, judged)
    report = work / "report"
    report.mkdir()
    (report / "index.html").write_text(page, encoding="utf-8")
    index = Index.from_json(run.index.read_bytes())
    assessed = controls.assess(index, evidence.known_controls())
    names = ("controls.json", "controls.html")
    for name, text in zip(names, controls.files(index, assessed), strict=True):
        (report / name).write_text(text, encoding="utf-8")
    signer = signing.Signer(Ed25519PrivateKey.generate(), work / "signing.pub")
    target = work / "evidence.zip"
    bundle.pack(run, report, evidence.SHIPPED / "controls.toml", target, signer)
    return target, signing.fingerprint(signer.public)


def flipped(good: Path, target: Path) -> str:
    """Copy the bundle with the lowest bit of one byte flipped; the member that the byte is in.

    The byte is in the compressed data of a kept history: evidence, not packing.
    """
    with zipfile.ZipFile(good) as packed:
        histories = [i for i in packed.infolist() if i.filename.endswith(f".{evidence.HISTORY}")]
        chosen = min(histories, key=lambda info: info.file_size)
    data = bytearray(good.read_bytes())
    name = len(chosen.filename.encode())
    extra = int.from_bytes(data[chosen.header_offset + 28 : chosen.header_offset + 30], "little")
    begin = chosen.header_offset + _LOCAL_HEADER + name + extra
    data[begin + chosen.compress_size // 2] ^= 1
    target.write_bytes(data)
    return chosen.filename


def _run(work: Path, judged: Sequence[tuple[Lesson, Verdict]]) -> Run:
    """A run's folder, with results, histories and index, as pytest's plugin leaves one."""
    run = Run(work / "runs" / runs.new_id())
    run.results.mkdir(parents=True)
    tests = {}
    for at, (lesson, verdict) in enumerate(judged, 1):
        node = f"demo::test_{lesson.title.lower().replace(' ', '_')}"
        outcome = verdict.outcome
        kept = evidence.Evidence(node)
        kept.attach(lesson.history, verdict)  # notes the digests; without a pytest Allure is silent
        pieces = [*evidence.attachments(lesson.history, ""), *evidence.attachments(verdict, "")]
        for number, piece in enumerate(pieces):
            body = piece.body if isinstance(piece.body, str) else piece.body.decode()
            (run.results / f"{at}-{number}-attachment.{piece.ending}").write_text(body, "utf-8")
        status = evidence.ALLURE_STATUS[outcome.value]
        labels = [{"name": evidence.TEST_LABEL, "value": node}]
        result = {"name": lesson.title, "status": status, "labels": labels}
        (run.results / f"{at}-result.json").write_text(json.dumps(result), "utf-8")
        passed = outcome is Outcome.HOLDS
        call = Phase("passed") if passed else Phase("failed", outcome.value, verdict.explanation)
        phases = {"setup": Phase("passed"), "call": call, "teardown": Phase("passed")}
        tests[node] = Entry(outcome, (), phases, tuple(kept.kept))
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    index = Index(
        run.id,
        now,
        ended=now,
        arguments=("infraforge", "demo"),
        harness={"version": harness.version(), "code": harness.code()},
        expected=dict.fromkeys(tests, ()),
        tests=tests,
        pytest_status=_RAN_WITH_FAILURES,
    )
    run.index.write_text(dataclasses.replace(index, concluded=index.conclusions()).to_json())
    return run
