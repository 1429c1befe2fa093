"""Who holds Patroni's lock, asked of an API server by the real client: what is seen, and what not.

The stand-in keeps one ConfigMap and tells of it as an API server does: by a read, a list, a watch.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge.checkers.recovery import recoveries
from infraforge.history import Call, History
from infraforge.selftests.test_checkers_recovery import MS, OUTAGE, call, together
from infraforge.wait import wait_until
from infraforge.workloads.postgresql import event
from infraforge.workloads.postgresql.lock import Lease, LockWatcher, Terms

S = 1_000_000_000


class Api(ThreadingHTTPServer):
    """ConfigMap `postgres-leader`, with every version of it that there was."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.changed = threading.Condition()
        self.versions: list[tuple[str, dict[str, Any]]] = []
        self.broken = False
        self.watches = 0
        self.cuts = 0

    def write(self, leader: str | None, ttl: int = 20, kind: str = "MODIFIED") -> None:
        with self.changed:
            number = len(self.versions) + 1
            told = {"ttl": str(ttl), "renewTime": str(number)}
            told |= {"leader": leader} if leader is not None else {}
            metadata = {"name": "postgres-leader", "resourceVersion": str(number)}
            self.versions.append((kind, {"metadata": metadata | {"annotations": told}}))
            self.changed.notify_all()

    @property
    def item(self) -> dict[str, Any] | None:
        kind, item = self.versions[-1] if self.versions else ("DELETED", {})
        return None if kind == "DELETED" else item

    def cut(self) -> None:
        """End every watch that is open."""
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        if self.server.broken:
            self._answer(500, {"message": "broken"})
        elif "watch" in asked:
            self._tell(int(asked["resourceVersion"]))
        elif url.path.endswith("/postgres-leader"):
            item = self.server.item
            self._answer(200 if item else 404, item or {"reason": "NotFound"})
        else:
            assert asked["fieldSelector"] == "metadata.name=postgres-leader"
            items = [self.server.item] if self.server.item else []
            version = {"resourceVersion": str(len(self.server.versions))}
            self._answer(200, {"items": items, "metadata": version})

    def _tell(self, at: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        cuts = self.server.cuts
        self.server.watches += 1
        with contextlib.suppress(OSError):
            while new := self._after(at, cuts):
                at += len(new)
                for kind, item in new:
                    line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    def _after(self, at: int, cuts: int) -> list[tuple[str, dict[str, Any]]]:
        """The versions after this one, once there are any; none when the watch is to end."""
        server = self.server
        with server.changed:
            server.changed.wait_for(lambda: len(server.versions) > at or server.cuts > cuts, 15)
            return server.versions[at:]

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def watcher(api: Api, every: float = 0.02) -> LockWatcher:
    settings = client.Configuration(host=f"http://127.0.0.1:{api.server_address[1]}", retries=False)
    site: Any = SimpleNamespace(core=client.CoreV1Api(client.ApiClient(settings)))
    return LockWatcher(site, every)


def seen(watching: LockWatcher, process: str = "watch:lock") -> list[Call]:
    return [call for call in watching.history.watched if call.process == process]


def told(watching: LockWatcher, process: str = "watch:lock") -> list[Any]:
    return [call.value for call in seen(watching, process) if call.ok]


def test_each_change_is_told_and_a_lock_given_up_is_nobodys(api: Api) -> None:
    api.write("postgres-0")
    with watcher(api) as watching:
        for number, leader in enumerate(("postgres-0", None, "", "postgres-1"), 2):
            wait_until(lambda n=number: len(told(watching)) == n - 1, 5, every=0.01)
            api.write(leader)
        wait_until(lambda: len(told(watching)) == 5, 5, every=0.01)
        wait_until(lambda: told(watching, "watch:lock-read")[-1] == "postgres-1", 5, every=0.01)
    assert told(watching) == ["postgres-0", "postgres-0", None, None, "postgres-1"]
    assert {call.function for call in watching.history.watched} == {"lock"}
    looks = seen(watching)
    for one, two in itertools.pairwise(looks):  # a look begins where the last one ended
        assert one.completion
        assert two.invoke.time - one.completion.time < 0.5 * S


def test_a_configmap_that_is_deleted_or_never_was_is_nobodys(api: Api) -> None:
    with watcher(api) as watching:
        wait_until(lambda: told(watching) and told(watching, "watch:lock-read"), 5, every=0.01)
        api.write("postgres-0", kind="ADDED")
        wait_until(lambda: len(told(watching)) == 2, 5, every=0.01)
        api.write("postgres-0", kind="DELETED")
        wait_until(lambda: len(told(watching)) == 3, 5, every=0.01)
        wait_until(lambda: told(watching, "watch:lock-read")[-1] is None, 5, every=0.01)
    assert told(watching) == [None, "postgres-0", None]


def test_a_lost_watch_is_a_failed_look_and_a_new_one_follows(api: Api) -> None:
    api.write("postgres-0")
    with watcher(api) as watching:
        wait_until(lambda: api.watches, 5, every=0.01)
        api.cut()
        wait_until(lambda: len(told(watching)) == 2, 5, every=0.01)
    [first, lost, again, *_] = seen(watching)
    assert (first.ok, lost.outcome, again.ok) == (True, "fail", True)
    assert lost.completion
    assert "the watch ended" in lost.completion.error
    assert lost.value is None


def test_an_api_server_that_refuses_is_a_failed_look_of_both(api: Api) -> None:
    api.broken = True
    with watcher(api) as watching:
        for process in ("watch:lock", "watch:lock-read"):
            wait_until(lambda p=process: seen(watching, p)[1:], 5, every=0.01)
    calls = [call for call in watching.history.watched if call.completion]
    assert {call.outcome for call in calls} == {"fail"}


def test_it_ends_at_once_though_nothing_ever_changes(api: Api) -> None:
    api.write("postgres-0")
    with watcher(api) as watching:
        wait_until(lambda: told(watching), 5, every=0.01)
        began = watching.history.operations[-1].time
    assert watching.history.operations[-1].time - began < 3 * S
    assert seen(watching)[-1].outcome == "fail"


def test_a_lock_that_runs_out_is_an_event(api: Api) -> None:
    api.write("postgres-0", ttl=1)
    with watcher(api) as watching:
        wait_until(lambda: told(watching, "watch:lock-read"), 5, every=0.01)
        api.write("postgres-0", ttl=1)  # the last renewal
        written = watching.history.operations[-1].time
        wait_until(lambda: any(call.function == "detected" for call in watching.history.watched), 5)
    [detected] = [call for call in watching.history.watched if call.function == "detected"]
    assert detected.completion
    assert detected.invoke.time <= written + S <= detected.completion.time + 0.05 * S
    assert detected.completion.time - detected.invoke.time < 0.8 * S


# when a lock ran out; times in s


def terms(*looks: tuple[int, float, float | None]) -> list[tuple[float, float]]:
    """looks: version, when it was seen, when the read was asked (None: a watch told of it)."""
    found = Terms()
    for version, at, asked in looks:
        lease = Lease(version, "postgres-0", 20)
        found.saw(lease, int(at * S), None if asked is None else int(asked * S))
    return [(since / S, until / S) for since, until in found.ran_out]


def test_it_ran_out_a_ttl_after_its_last_renewal_was_written() -> None:
    """The read asked at 10.0 did not show it yet, the watch told of it at 10.2."""
    assert terms((1, 10.1, 10.0), (2, 10.2, None), (2, 30.3, 30.25)) == [(30.0, 30.2)]


def test_it_is_told_once() -> None:
    looks = [(2, at, at) for at in (30.3, 31.0, 32.0)]
    assert len(terms((1, 10.1, 10.0), (2, 10.2, None), *looks)) == 1


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(1, 10.1, 10.0), (2, 10.2, None), (2, 30.3, 30.1)], id="asked too early"),
        pytest.param([(1, 10.1, 10.0), (2, 10.2, None), (3, 30.3, 30.25)], id="taken before"),
        pytest.param([(1, 10.1, 10.0), (2, 10.2, None), (2, 31.0, None)], id="never asked"),
        pytest.param([(2, 10.2, None), (2, 40.0, 40.0)], id="renewed before anybody looked"),
        pytest.param(
            [(1, 10.1, 10.0), (2, 10.2, None), (3, 29.0, None), (2, 40.0, 39.0)],
            id="an old answer that comes late",
        ),
    ],
)
def test_what_is_not_known_is_no_event(looks: list[tuple[int, float, float | None]]) -> None:
    assert terms(*looks) == []


def test_an_old_answer_that_comes_late_makes_it_more_exact() -> None:
    """The read asked at 10.15 was answered after the watch had told of the renewal."""
    looks = [(1, 10.1, 10.0), (2, 10.2, None), (1, 10.3, 10.15), (2, 30.3, 30.25)]
    assert terms(*looks) == [(30.15, 30.2)]


def test_a_lock_that_nobody_holds_or_that_has_no_end_does_not_run_out() -> None:
    for lease in (Lease(2, None, 20), Lease(2, "postgres-0", None)):
        found = Terms()
        found.saw(Lease(1, "postgres-0", 20), S, S)
        found.saw(lease, 2 * S)
        found.saw(lease, 50 * S, 50 * S)
        assert found.ran_out == []


def test_what_is_written_there_is_read_as_it_is() -> None:
    written = {"resourceVersion": "7", "annotations": {"leader": "postgres-0", "ttl": "20"}}
    assert Lease.of(written) == Lease(7, "postgres-0", 20)
    assert Lease.of({"resourceVersion": "7"}) == Lease(7, None, None)
    odd = {"resourceVersion": "7", "annotations": {"leader": "", "ttl": "soon"}}
    assert Lease.of(odd) == Lease(7, None, None)


# what becomes of it


def lock_answers(*holders: tuple[int, str | None]) -> History:
    """Answers of the watch, at so many ms."""
    parts, before = [], 0
    for at, holder in holders:
        parts.append(event("lock", before * MS, at * MS, holder))
        before = at
    return together(*parts)


def test_a_silent_death_is_detected_when_the_lock_had_run_out() -> None:
    """The lock goes from one member to another, and nobody ever said that it was free."""
    answers = lock_answers((900, "postgres-0"), (2500, "postgres-1"))
    (unknown,) = recoveries(together(OUTAGE, answers))
    assert {mark.name for mark in unknown.marks} == {"struck", "elected", "acknowledged"}
    assert not unknown.terms
    ran_out = event("detected", 2000 * MS, 2100 * MS)
    (known,) = recoveries(together(OUTAGE, answers, ran_out))
    assert [(term.name, round(term.seconds, 2)) for term in known.terms] == [
        ("detection", 1.1),
        ("election", 0.4),
    ]


def test_a_lock_that_was_given_up_is_detected_without_an_event() -> None:
    answers = lock_answers((900, "postgres-0"), (1200, None), (1500, "postgres-1"))
    (found,) = recoveries(together(OUTAGE, answers))
    assert [(term.name, round(term.seconds, 2)) for term in found.terms] == [
        ("detection", 0.2),
        ("election", 0.3),
    ]


def test_of_two_who_look_the_one_that_asked_last_bounds_what_happened() -> None:
    """The watch's look was open for a second, and a read was told the former holder meanwhile."""
    looks = together(
        event("lock", 100 * MS, 900 * MS, "postgres-0"),
        call("watch:lock", "lock", 900, 1900, "postgres-0"),
        call("watch:lock-read", "lock", 1850, 1855, "postgres-0"),
        call("watch:lock", "lock", 1900, 2000, "postgres-1"),
    )
    (found,) = recoveries(together(OUTAGE, looks))
    errors = {mark.name: mark.error // MS for mark in found.marks}
    assert errors["elected"] == 150  # not 1100
    late = together(looks, call("watch:lock-read", "lock", 1950, 1999, "postgres-0"))
    (found,) = recoveries(together(OUTAGE, late))
    assert {mark.name: mark.error // MS for mark in found.marks}["elected"] == 50
