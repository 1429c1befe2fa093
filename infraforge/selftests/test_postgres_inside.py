"""The load as a program that is told what to do on its standard input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.folders import PACKAGE
from infraforge.history import WATCH, History
from infraforge.selftests import local_postgres
from infraforge.selftests.local_postgres import LocalPostgres
from infraforge.wait import seconds, wait_until
from infraforge.workloads.postgresql import inside, remote

needs_postgres = pytest.mark.skipif(local_postgres.LACKS, reason="needs initdb and postgres")


@pytest.fixture(scope="module")
def postgres() -> Iterator[LocalPostgres]:
    with tempfile.TemporaryDirectory(prefix="infraforge-postgres-") as folder:
        made = LocalPostgres(Path(folder))
        try:
            made.create()
            yield made
        finally:
            made.stop()


class Program:
    """The program as it runs in a pod: from the packed package, without this checkout."""

    def __init__(self, folder: Path, wanted: dict[str, object]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", remote._BOOT, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
        )
        data = remote._packed()
        self._send(f"{len(data)}\n".encode() + data)
        self._send(f"{json.dumps(wanted)}\n".encode())

    def ask(self, **order: object) -> dict[str, object]:
        self._send(f"{json.dumps(order)}\n".encode())
        assert self.process.stdout is not None
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=30)

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()


def wanted_of(postgres: LocalPostgres) -> dict[str, object]:
    members = postgres.members
    return {
        "members": [[one.name, one.port, one.address] for one in members.members],
        "settings": dict(members.settings),
        "ca": "",
        "load": {"pace": 0.02, "seed": 1},
    }


@needs_postgres
def test_a_load_in_another_process_is_recorded_and_read_back(
    postgres: LocalPostgres, tmp_path: Path
) -> None:
    program = Program(tmp_path, wanted_of(postgres))
    try:
        assert program.ask(do="prepare") == {"told": None}
        assert program.ask(do="start") == {"told": None}
        wait_until(lambda: int(str(program.ask(do="count")["told"])) >= 20, seconds(30))
        assert program.ask(do="stop") == {"told": None}
        history = History.from_lines(str(program.ask(do="history")["told"]))
        final = History.from_lines(str(program.ask(do="final", within=30)["told"]))
    finally:
        code = program.end()
    assert code == 0
    assert len([call for call in history.of("add") if call.ok]) >= 20
    assert {call.function for call in history.watched} == {"role", "route"}
    assert all(call.process.startswith(WATCH) for call in history.watched)
    assert len(final.of("read")) == 3
    kept = {call.value for call in history.of("add") if call.ok}
    assert all(kept <= set(call.value) for call in final.of("read"))  # type: ignore[arg-type]


def test_an_order_that_fails_is_told_and_the_next_one_is_heard(tmp_path: Path) -> None:
    """Nobody listens at that port, so no primary takes the tables: told in words."""
    orders = [
        {"members": [["nobody", 1, "127.0.0.1"]], "settings": {}, "ca": "", "load": {"seed": 1}},
        {"do": "prepare"},
        {"do": "fly"},
        {"do": "clock"},
    ]
    answers = io.StringIO()
    given = io.StringIO("".join(f"{json.dumps(one)}\n" for one in orders))
    inside.serve(given, answers, tmp_path / "ca")
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [sorted(one) for one in told] == [["error", "words"], ["error", "words"], ["told"]]
    assert told[0]["error"] == inside.UNKNOWN
    assert "no primary takes the load's tables" in told[0]["words"]
    assert "fly" in told[1]["words"]


def test_what_is_packed_needs_neither_kubernetes_nor_pytest() -> None:
    """The pod has psycopg and the standard library."""
    packed = zipfile.ZipFile(io.BytesIO(remote._packed()))
    assert "infraforge/workloads/postgresql/inside.py" in packed.namelist()
    assert not [name for name in packed.namelist() if "selftests" in name]
    code = (
        "import sys; from infraforge.workloads.postgresql import inside;"
        "print(sorted({'kubernetes', 'pytest', 'allure', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_program_in_the_pod_needs_no_client_of_kubernetes() -> None:
    """The backend's image, in which it runs, has psycopg and no such client."""
    without = "import sys; sys.modules['kubernetes'] = None; "
    wanted = f"{without}from infraforge.workloads.postgresql import inside; inside.main"
    done = subprocess.run(
        [sys.executable, "-c", wanted],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
