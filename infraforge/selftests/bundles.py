"""A finished run with its report and bundle, made without a cluster or npm."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infraforge import evidence
from infraforge.checkers import acknowledged_writes_kept, cells_match, no_stale_read, under_fault
from infraforge.places import mark
from infraforge.report import bundle, controls, harness, signing
from infraforge.report.container import Content
from infraforge.report.index import Conclusions, Entry, Index, Phase, Profiled
from infraforge.runs import Run
from infraforge.selftests.histories import history
from infraforge.table import Table
from infraforge.verdict import Outcome, check, merge

CROSSWALK = '["C1"]\nframework = "F"\ntitle = "<one>"\n["C2"]\nframework = "F"\ntitle = "two"\n'
KEPT = history("a invoke add - 1\na ok add - 1\nr invoke read\nr ok read - [1]")
STALE = history("""
    a invoke write x "two"
    a ok     write x [2,"two"]
    b invoke read  x
    b ok     read  x [1,"one"]
""")
CELLS = Table({("a", "b"): True, ("a", "c"): "200"})
T = "suites/x.py::test_"
PASSED = {"setup": Phase("passed"), "call": Phase("passed"), "teardown": Phase("passed")}
FAILED = PASSED | {"call": Phase("failed", "broken", "AssertionError: no")}
SKIPPED = {
    "setup": Phase("skipped", "", "needs a queue; profile minimal has none"),
    "teardown": Phase("passed"),
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def attached(folder: Path, name: str, *values: object) -> tuple[Mapping[str, str], ...]:
    """Keep the values as a test does; what its evidence notes of them."""
    made = evidence.Evidence(name)
    for at, value in enumerate(values):
        pieces = evidence.attachments(value, "")
        for number, piece in enumerate(pieces):
            file = folder / f"{name.rpartition('_')[2]}{at}{number}-attachment.{piece.ending}"
            file.write_text(str(piece.body))
        made._note(value, pieces)
    return tuple(made.kept)


def _result(folder: Path, test: str, entry: Entry) -> None:
    status = evidence.ALLURE_STATUS[entry.outcome.value]
    labels = [{"name": "test", "value": test}]
    name = f"{test.rpartition('_')[2]}-result.json"
    (folder / name).write_text(json.dumps({"name": test, "status": status, "labels": labels}))


def _tests(results: Path) -> dict[str, Entry]:
    """Verdicts of all kinds, one of them broken; a test that asserts, one that is skipped."""
    fault = history("""
        nemesis invoke kill
        nemesis ok kill
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x [2,"two"]
    """)
    return {
        f"{T}kept": Entry(
            Outcome.HOLDS,
            ("C1",),
            PASSED,
            attached(results, "test_kept", KEPT, check(KEPT, acknowledged_writes_kept)),
        ),
        f"{T}faulted": Entry(
            Outcome.HOLDS,
            ("C1",),
            PASSED,
            attached(results, "test_faulted", fault, check(fault, under_fault(no_stale_read))),
        ),
        f"{T}cells": Entry(
            Outcome.HOLDS,
            ("C1",),
            PASSED,
            attached(
                results,
                "test_cells",
                merge(cells_match(CELLS, CELLS), cells_match(CELLS, CELLS, "again")),
            ),
        ),
        f"{T}stale": Entry(
            Outcome.BROKEN,
            ("C2",),
            FAILED,
            attached(results, "test_stale", STALE, check(STALE, no_stale_read)),
        ),
        f"{T}asserted": Entry(Outcome.HOLDS, ("C1",), PASSED),
        f"{T}queue": Entry(Outcome.SKIPPED, ("C1",), SKIPPED),
    }


def run_in(folder: Path, **changes: Any) -> Run:
    """A run that ended. changes: of its index; tests: makes them, given the folder of results."""
    run = Run(folder / "runs" / "20261127T201500Z-1a2b3c")
    run.results.mkdir(parents=True)
    tests = changes.pop("tests", _tests)(run.results)
    for test, entry in tests.items():
        _result(run.results, test, entry)
    index = Index(
        run.id,
        "2026-11-27T20:15:00Z",
        ended="2026-11-27T20:25:00Z",
        commit="ab" * 20,
        dirty=False,
        harness={"version": "0", "code": harness.code()},
        profile=Profiled("minimal", ("backend",), (f"{T}kept", f"{T}cells")),
        images={"ghcr.io/x/backend:1": f"sha256:{'c' * 64}"},
        expected={node: entry.controls for node, entry in tests.items()},
        tests=tests,
        pytest_status=1,
    )
    index = dataclasses.replace(index, **changes)
    if "concluded" not in changes:
        concluded = index.conclusions() if index.ended else Conclusions({}, (), (), None)
        index = dataclasses.replace(index, concluded=concluded)
    run.index.write_text(index.to_json())
    run.timings.write_text('{"suites": 1.0}\n')
    return run


def report_of(run: Run, out: Path) -> Path:
    """The report, with a page that Allure did not make."""
    out.mkdir()
    (out / "index.html").write_text("<title>all tests</title>")
    index = Index.from_json(run.index.read_bytes())
    assessed = controls.assess(index, evidence.known_controls(out.parent))
    for name, text in zip(
        ("controls.json", "controls.html"), controls.files(index, assessed), strict=True
    ):
        (out / name).write_text(text)
    mark(out, run.id)
    return out


def packed(folder: Path, **changes: Any) -> Path:
    """The bundle of such a run; changes: of its index."""
    folder.mkdir(exist_ok=True)
    (folder / "controls.toml").write_text(CROSSWALK)
    run = run_in(folder, **changes)
    report = report_of(run, folder / "report")
    signer = signing.Signer(KEY, folder / "key.pub")
    bundle.pack(run, report, folder / "controls.toml", folder / "b.zip", signer)
    return folder / "b.zip"


def forged(content: Content, changes: Mapping[str, bytes | None]) -> Content:
    """The content with members changed (None: removed), and a manifest and signature to match."""
    members = {**content.members, **{k: v for k, v in changes.items() if v is not None}}
    for name, data in changes.items():
        if data is None:
            del members[name]
    plain = {name: data for name, data in members.items() if name not in bundle.UNSIGNED}
    written = bundle.manifest(plain)
    said: dict[str, Any] = {}
    if bundle.RUN_INDEX in plain:
        index = Index.from_json(plain[bundle.RUN_INDEX])
        said = signing.statement(index, written, bundle.configuration(plain))
    sealed = signing.seal(said, KEY)
    return Content({**plain, bundle.MANIFEST: written, bundle.ATTESTATION: sealed})
