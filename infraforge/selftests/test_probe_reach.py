"""Reachability: open, blocked, or unknown; an error is never read as "blocked"."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infraforge.errors import ClusterError
from infraforge.probes import reach, reach_pod
from infraforge.probes.reach import Source, Target

TARGETS = (Target("one.example", 1), Target("two.example", 2))


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_the_program_tells_open_from_refused_and_unresolved(listening: int, nobody: int) -> None:
    wanted = [["127.0.0.1", listening], ["127.0.0.1", nobody], ["no such name.invalid", 1]]
    done = subprocess.run(
        [sys.executable, "-c", reach._PROGRAM.read_text(), json.dumps(wanted)],
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = [outcome for outcome, _ in json.loads(done.stdout)]
    assert outcomes == ["open", "refused", "unresolved"]


def test_silence_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert reach_pod.several("127.0.0.1", 1)[0] == "blocked"


@pytest.mark.parametrize(
    ("attempts", "told"),
    [
        (["blocked", "blocked", "blocked"], "blocked"),
        (["blocked", "blocked", "open"], "open"),
        (["unresolved", "open"], "open"),
        (["blocked", "refused", "blocked"], "refused"),
        (["unresolved", "blocked", "blocked"], "unresolved"),
        (["failed", "failed", "failed"], "failed"),
    ],
)
def test_blocked_only_if_nothing_else_was_ever_seen(
    monkeypatch: pytest.MonkeyPatch, attempts: list[str], told: str
) -> None:
    left = iter(attempts)
    monkeypatch.setattr(reach_pod, "once", lambda host, port: (next(left), ""))
    assert reach_pod.several("host", 1)[0] == told


@pytest.mark.parametrize("output", ["", "Traceback", "[]", '[["open", ""]]', '{"a": 1}', "[1, 2]"])
def test_a_pod_without_output_is_not_an_answer(output: str) -> None:
    with pytest.raises(ClusterError):
        reach.read_outcomes(output, TARGETS)


def test_the_pod_keeps_to_the_restricted_standard_and_out_of_services() -> None:
    source = Source("as the ingress", "infraforge-access", {"app.kubernetes.io/name": "ingress"})
    pod = reach.pod_for(source, TARGETS, "image@sha256:0")
    spec = pod["spec"]
    assert pod["metadata"]["labels"] == {
        "app.kubernetes.io/name": "ingress",
        reach.PROBE_LABEL: "reach",
    }
    assert spec["readinessGates"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    (box,) = spec["containers"]
    assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert json.loads(box["command"][-1]) == [["one.example", 1], ["two.example", 2]]
