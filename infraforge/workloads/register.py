"""Projects as versioned registers: concurrent readers and writers, all recorded.

    with register.Load(developer, [project.id], readers=4, writers=2) as load:
        load.until(writes=20, reads=200)
    verdict = check(load.history, no_stale_read)

The content of each write is unique; its version is the backend's answer. A missing project reads
as null. The history is the one that `checkers.stale` judges.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import requests

from infraforge.history import History
from infraforge.recorder import Pending, Recorder
from infraforge.wait import wait_until
from infraforge.workloads.backend_client import BackendClient, Refused, Unknown
from infraforge.workloads.crew import Crew

_ABSENT = 404


class Load(Crew):
    """Readers and writers, one thread each, with their own copy of a session.

    client: the user whose session they copy; keys: the projects' ids; pace: mean seconds between
    two operations of a thread (the ingress limits requests); seed: decides each thread's choices.
    """

    def __init__(
        self,
        client: BackendClient,
        keys: Sequence[str],
        *,
        readers: int = 3,
        writers: int = 1,
        pace: float = 0.1,
        seed: int | None = None,
    ) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed
        self._keys = tuple(keys)
        self._recorder = Recorder()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._ways: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        roles = [("reader", self._read, readers), ("writer", self._write, writers)]
        tasks = {
            f"{role}-{n}": self._task(f"{role}-{n}", twin(client), do)
            for role, do, count in roles
            for n in range(count)
        }
        chance = random.Random(self.seed)  # noqa: S311
        super().__init__(tasks, pause=lambda: chance.uniform(0, 2 * pace))
        print(f"register load: seed {self.seed}")

    @property
    def history(self) -> History:
        """The operations so far."""
        return self._recorder.history

    @property
    def ways(self) -> Counter[str]:
        """The number of reads that were a hit, a miss, a bypass, as the backend reported."""
        with self._lock:
            return Counter(self._ways)

    def until(
        self, *, reads: int = 0, writes: int = 0, hits: int = 0, within: float = 60.0
    ) -> None:
        """Wait until so many more reads and writes are acknowledged, and cache hits seen.

        An operation under way counts as well: to have one that began after this call, ask for more
        of a kind than it has threads. Raises TimedOut; Inconclusive when the load itself fails.
        """
        wanted = Counter({"read": reads, "write": writes, "hit": hits})
        goal = self._so_far() + wanted

        def enough() -> bool:
            self.complain()
            seen = self._so_far()
            return all(seen[what] >= goal[what] for what, number in wanted.items() if number)

        wait_until(enough, within, every=0.05, what=f"{dict(wanted)} more (seed {self.seed})")

    def _so_far(self) -> Counter[str]:
        with self._lock:
            return self._done + Counter({"hit": self._ways["hit"]})

    def _task(
        self, name: str, client: BackendClient, do: Callable[[BackendClient, str], None]
    ) -> Callable[[], None]:
        chance = random.Random(f"{self.seed}/{name}")  # noqa: S311
        return lambda: do(client, chance.choice(self._keys))

    def _read(self, client: BackendClient, key: str) -> None:
        process = threading.current_thread().name
        with self._recorder.call(process, "read", key, fail=(Refused,), info=(Unknown,)) as call:
            try:
                project, way = client.read_project(key)
            except Refused as error:
                if error.status != _ABSENT:
                    raise
                self._acknowledge(call, "read", None)
                return
            self._acknowledge(call, "read", (project.version, project.description))
            with self._lock:
                self._ways[way] += 1

    def _write(self, client: BackendClient, key: str) -> None:
        process = threading.current_thread().name
        content = f"{self.seed:08x}-{next(self._numbers)}"
        with self._recorder.call(
            process, "write", key, content, fail=(Refused,), info=(Unknown,)
        ) as call:
            made = client.update_project(key, name=f"register {content}", description=content)
            self._acknowledge(call, "write", (made.version, made.description))

    def _acknowledge(self, call: Pending, function: str, value: tuple[int, str] | None) -> None:
        call.ok(value)
        with self._lock:
            self._done[function] += 1


def delete(client: BackendClient, key: str) -> History:
    """Delete the project, as one operation in a separate history."""
    recorder = Recorder()
    with recorder.call("deleter", "delete", key, fail=(Refused,), info=(Unknown,)) as call:
        client.delete_project(key)
        call.ok()
    return recorder.history


def twin(client: BackendClient) -> BackendClient:
    """The same user on another connection: two threads must not share a session."""
    session = requests.Session()
    session.trust_env = False
    session.verify = client.session.verify
    session.headers.update(client.session.headers)
    session.cookies.update(client.session.cookies)
    return BackendClient(session, client.origin, client.timeout)
