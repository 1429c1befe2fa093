"""The load, run in a pod of the cluster: told what to do on standard input, one JSON line each.

The first line says who the members are (`members`: what `Member` takes; `settings`: of libpq; `ca`:
a PEM) and what `Load` is wanted (`load`). Each further line is an order, answered by one line:
`{"told": VALUE}`, or `{"error": KIND, "words": TEXT}`. The program ends when its input does, and
prints nothing else there. `remote.py` is the other end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from infraforge.errors import Inconclusive, Late
from infraforge.workloads.postgresql.load import Load
from infraforge.workloads.postgresql.members import Member, Members
from infraforge.workloads.postgresql.watchers import Watchers

LATE = "late"
UNKNOWN = "unknown"


def main(ca: Path) -> None:
    """Obey standard input until it ends. What the load prints goes to the errors."""
    answers, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, answers, ca)


def serve(orders: TextIO, answers: TextIO, ca: Path) -> None:
    """Obey until the orders end. ca: where the members' CA is kept."""
    wanted: Mapping[str, Any] = json.loads(orders.readline())
    ca.write_text(wanted["ca"])
    told = tuple(Member(*one) for one in wanted["members"])
    members = Members(told, {"sslrootcert": str(ca), **wanted["settings"]})
    obeys = _Obeys(members, wanted["load"], ca)
    for line in orders:
        order = json.loads(line)
        try:
            answer = {"told": obeys.does[order.pop("do")](**order)}
        except Late as error:
            answer = {"error": LATE, "words": str(error)}
        except Exception as error:  # noqa: BLE001 - told to whoever gave the order
            words = str(error) if isinstance(error, Inconclusive) else repr(error)
            answer = {"error": UNKNOWN, "words": words}
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()
    obeys.stop()


class _Obeys:
    """One load with its watchers."""

    def __init__(self, members: Members, load: Mapping[str, Any], ca: Path) -> None:
        self._ca = ca
        self._load = Load(members, **load)
        self._watchers = Watchers(members)
        self._running = False
        self.does: Mapping[str, Callable[..., Any]] = {
            "clock": time.monotonic_ns,
            "trust": self._trust,
            "prepare": self._load.prepare,
            "start": self._start,
            "count": self._count,
            "stop": self.stop,
            "history": self._history,
            "final": lambda within: self._load.read_every_member(within).to_lines(),
        }

    def _trust(self, ca: str) -> None:
        """From the next connection on."""
        self._ca.write_text(ca)

    def _start(self) -> None:
        self._watchers.__enter__()
        self._load.__enter__()
        self._running = True

    def _count(self) -> int:
        self._load.complain()
        self._watchers.complain()
        return self._load.acknowledged

    def _history(self) -> str:
        return (self._load.history + self._watchers.history).to_lines()

    def stop(self) -> None:
        if self._running:
            self._running = False
            self._load.__exit__(None, None, None)
            self._watchers.__exit__(None, None, None)
