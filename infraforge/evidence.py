"""Evidence: what a test's verdict rests on, kept in the run's results and in its index."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import allure
from allure_commons.model2 import Status
from kubernetes import client

from infraforge import files, folders
from infraforge.errors import UsageError
from infraforge.history import History, Operation
from infraforge.probes import diagnosis
from infraforge.table import Table
from infraforge.verdict import Verdict

REPORTS = folders.output()
"""Where runs, reports and bundles are written."""

SHIPPED = folders.shipped("reports")
"""How Allure sorts failures, the controls, and the pinned Allure: these are only read."""

HISTORY = "jsonl"
VERDICT = "verdict.json"
"""Suffix of the names of kept histories and verdicts, by which an offline check finds them."""

TEST_LABEL = "test"
"""The label in an Allure result that holds the test's node id."""

_LONG = 400
_AROUND = 8


@dataclass(frozen=True)
class Attachment:
    """One file in a test's report. kind: its media type; ending: its extension, without dot."""

    name: str
    body: str | bytes
    kind: str = "text/plain"
    ending: str = "txt"

    def attach(self) -> None:
        allure.attach(self.body, self.name, self.kind, self.ending)


class Evidence:
    """The evidence of one test's verdicts, kept with its report. test: the test's node id.

    kept: attachments that can be judged again, for the run's index, in the order of attaching: a
    history as `{"history": SHA-256}`; a verdict as `{"verdict": SHA-256 of its file, "name",
    "outcome"}`.
    """

    def __init__(self, test: str) -> None:
        self.test = test
        self.kept: list[dict[str, str]] = []

    def attach(self, *values: object, **named: object) -> None:
        """Keep the values: a History, Verdict or Table, text, bytes (PNG, SVG), a mapping as JSON.

        A keyword names its value in the report. A history is also kept as readable text, which
        marks the operations that the verdicts attached with it rest on.
        """
        every = [("", value) for value in values] + [*named.items()]
        verdicts = [value for _, value in every if isinstance(value, Verdict)]
        marked = [operation for verdict in verdicts for operation in _rests_on(verdict)]
        for name, value in every:
            pieces = attachments(value, name.replace("_", " "))
            if isinstance(value, History):
                pieces += readable(value, marked)
            for piece in pieces:
                piece.attach()
            self._note(value, pieces)

    def _note(self, value: object, pieces: list[Attachment]) -> None:
        if isinstance(value, History):
            self.kept.append({"history": value.digest})
        if isinstance(value, Verdict):
            (file,) = (piece for piece in pieces if piece.ending == VERDICT)
            digest = hashlib.sha256(str(file.body).encode()).hexdigest()
            told = {"verdict": digest, "name": value.name, "outcome": str(value.outcome)}
            self.kept.append(told)


@functools.singledispatch
def attachments(value: object, name: str) -> list[Attachment]:
    """The files that represent `value`."""
    return [Attachment(name or type(value).__name__, str(value))]


@attachments.register
def _(value: History, name: str) -> list[Attachment]:
    return [Attachment(name or "history", value.to_lines(), "application/x-ndjson", HISTORY)]


@attachments.register
def _(value: Verdict, name: str) -> list[Attachment]:
    told = name or f"verdict: {value.name} {value.outcome}"
    try:
        data = value.to_dict()
    except TypeError as error:  # noted for the later check: it cannot be recomputed
        data = dataclasses.replace(value, tables=None, parts=()).to_dict() | {"lacks": str(error)}
    kept = json.dumps(data, indent=1)
    return [
        Attachment(told, value.explain()),
        Attachment(f"{told} (to be checked offline)", kept, "application/json", VERDICT),
    ]


@attachments.register
def _(value: Table, name: str) -> list[Attachment]:
    return [Attachment(name or "table", value.text())]


@attachments.register
def _(value: str, name: str) -> list[Attachment]:
    return [Attachment(name or "text", value)]


@attachments.register
def _(value: bytes, name: str) -> list[Attachment]:
    if value.startswith(b"\x89PNG"):
        return [Attachment(name or "screenshot", value, "image/png", "png")]
    if value.startswith(b"<?xml") and b"<svg" in value[:_LONG]:
        return [Attachment(name or "picture", value, "image/svg+xml", "svg")]
    return [Attachment(name or "bytes", value, "application/octet-stream", "bin")]


@attachments.register(Mapping)
def _(value: Mapping[str, Any], name: str) -> list[Attachment]:
    text = json.dumps(dict(value), indent=1, ensure_ascii=False, default=str)
    return [Attachment(name or "values", text, "application/json", "json")]


def readable(history: History, marked: list[Operation]) -> list[Attachment]:
    """The history for readers; of a long one only the surroundings of marked operations."""
    if len(history) <= _LONG:
        return [Attachment("history, readable", history.text(marked))]
    if not marked:
        return []
    return [Attachment("history, around the evidence", history.text(marked, _AROUND))]


def attach_diagnosis(api: client.ApiClient, since: datetime) -> None:
    """Keep the pods' events, states and logs since then."""
    for name, text in diagnosis.collect(api, since).items():
        Attachment(name, text).attach()


def say_in_allure(config: Any, outcome: str) -> None:
    """Make the running test's Allure result agree with the run's tally.

    Allure's word for unknown is *broken*. By itself it takes every AssertionError for a failure of
    the product, one in a fixture too, and forgets what went wrong after the first failure. For
    pytest's `pytest_runtest_makereport`, once Allure's own has ended; config: pytest's; outcome:
    one of `verdict.Outcome`.
    """
    listener = config.pluginmanager.get_plugin("allure_listener")
    result = listener.allure_logger.get_test(None) if listener else None
    if result:
        result.status = ALLURE_STATUS[outcome]


ALLURE_STATUS: Mapping[str, str] = {
    "holds": Status.PASSED,
    "broken": Status.FAILED,
    "unknown": Status.BROKEN,
    "skipped": Status.SKIPPED,
}
"""Outcome → status in Allure's results."""


def known_controls(reports: Path = SHIPPED) -> Mapping[str, Mapping[str, str]]:
    """The crosswalk, id → framework and title."""
    found: dict[str, dict[str, str]] = tomllib.loads((reports / "controls.toml").read_text())
    return found


def control_label(*ids: str) -> Any:
    """The mark that writes a test's controls into its result. Raises UsageError for unknown ids."""
    for name in ids:
        if name not in known_controls():
            raise UsageError(f"no control {name!r} in reports/controls.toml; add it there")
    return allure.label("control", *ids)  # type: ignore[no-untyped-call]


def test_label(node_id: str) -> Any:
    """The mark that writes a test's node id into its result."""
    return allure.label(TEST_LABEL, node_id)  # type: ignore[no-untyped-call]


def describe_run(results: Path, environment: Mapping[str, object]) -> None:
    """Write beside Allure's results where the run took place, and how to sort failures."""
    results.mkdir(parents=True, exist_ok=True)
    lines = [f"{_escaped(name)} = {_escaped(str(value))}\n" for name, value in environment.items()]
    files.replace(results / "environment.properties", "".join(lines))
    shutil.copyfile(SHIPPED / "categories.json", results / "categories.json")


@contextlib.contextmanager
def stage(name: str, path: Path) -> Iterator[None]:
    """Add the duration of a stage of the run, even of a failed one, to the file `path`."""
    began = time.monotonic()
    try:
        yield
    finally:
        note_timings({name: time.monotonic() - began}, path)


def note_timings(seconds: Mapping[str, float], path: Path) -> None:
    """Add seconds by stage to the file `path` (JSON); concurrent processes lose nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        timings: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        timings |= {name: round(value, 2) for name, value in seconds.items()}
        files.replace(path, json.dumps(timings, indent=1) + "\n")
    finally:
        os.close(folder)


def _rests_on(verdict: Verdict) -> list[Operation]:
    inner = [operation for part in verdict.parts for operation in _rests_on(part)]
    return [*verdict.evidence, *inner]


def _escaped(text: str) -> str:
    """Escaped for a Java properties file."""
    text = "".join(f"\\{char}" if char in "\\ =:#!" else char for char in text)
    return text.replace("\n", "\\n")
