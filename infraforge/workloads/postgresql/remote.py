"""The load, from a pod of the platform's own network: the members by their names, as clients do.

    load = RemoteLoad(site)
    load.prepare()
    with load:
        load.until(acknowledged=200)
    history = load.history + load.read_every_member(within=60)
    load.close()

The pod and the database user are this load's own, and `remove_traces` takes them away. All
processes of one machine share one monotonic clock, so the pod's history and the nemesis' are one;
`clock_error` says how well that is known.
"""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import subprocess
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from queue import Empty, Queue
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from kubernetes import client
from psycopg import sql

from infraforge.components import containers, members, readiness
from infraforge.components.postgres import DATABASE, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive, Late
from infraforge.folders import PACKAGE
from infraforge.history import History
from infraforge.probes.reach import PROBE_LABEL, Source, pod_for, python_image
from infraforge.wait import NotYet, seconds, wait_until
from infraforge.workloads.postgresql.inside import LATE
from infraforge.workloads.postgresql.load import SCHEMA

USER = "infraforge_load"
_LABEL = "postgresql-load"
_CLIENT = Source("the load", "infraforge-application", {"app.kubernetes.io/name": "backend"})
"""What the members' network policy lets in."""
_LIVES = 1_800
"""Seconds after which the cluster ends a pod that nobody took away."""
_STARTS = seconds(90)
_ANSWERS = seconds(20)
_FOLDER = "/tmp"  # noqa: S108 - the pod's own emptyDir
_BOOT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
packed = sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
(folder / "load.zip").write_bytes(packed)
sys.path.insert(0, str(folder / "load.zip"))
from infraforge.workloads.postgresql import inside
inside.main(folder / "ca.crt")
"""
_WAITS = "import signal; signal.pause()"
_ROLE: tuple[LiteralString, ...] = (
    "CREATE ROLE {user} LOGIN PASSWORD {password} IN ROLE pg_read_all_stats",
    "GRANT CONNECT ON DATABASE {database} TO {user}",
    "CREATE SCHEMA {schema} AUTHORIZATION {user}",
)
_KNOWN: LiteralString = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_GONE: tuple[LiteralString, ...] = (
    "DROP OWNED BY {user}",  # the schema and its tables, and what was granted
    "DROP ROLE {user}",
)


class RemoteLoad:
    """`Load` and `Watchers` in a pod; all but `site` is as `Load` takes it.

    One at a time on one cluster: they share the tables. Raises ClusterError where the pod, or the
    way to it, is lost: the load is incomplete then.
    """

    def __init__(self, site: Site, **load: Any) -> None:
        self._site = site
        self._load = {"seed": secrets.randbits(31), **load}
        self._pod = f"load-{uuid.uuid4().hex[:10]}"
        self._talk: _Conversation | None = None
        self.clock_error = 0.0

    @property
    def seed(self) -> int:
        return int(self._load["seed"])

    def prepare(self) -> None:
        """Make the user, empty tables and the pod. Raises ClusterError, TimedOut."""
        remove_traces(self._site)
        password = _make_user(self._site)
        _start(self._site, self._pod)
        self._talk = _Conversation(self._site, self._pod)
        self._talk.begin(
            {
                "members": [[name] for name in members.hosts(members.of(self._site.profile))],
                "settings": {
                    **{"user": USER, "password": password, "dbname": DATABASE},
                    "sslmode": "verify-full",
                },
                "ca": self._site.ca_file.read_text(),
                "load": self._load,
            }
        )
        self.clock_error = self._clock()
        self._order("prepare")

    def __enter__(self) -> Self:
        self._order("start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._order("stop", within=seconds(90))
        else:
            self.close()

    def until(self, *, acknowledged: int, within: float = 60.0, broken: bool = False) -> None:
        """As `Load.until`."""
        goal = self.acknowledged + acknowledged
        wait_until(
            lambda: self.acknowledged >= goal,
            within,
            every=0.1,
            what=f"{acknowledged} more acknowledged elements (seed {self.seed})",
            broken=broken,
        )

    @property
    def acknowledged(self) -> int:
        """How many elements are acknowledged so far. Raises as `complain` does."""
        return int(self._order("count"))

    def complain(self) -> None:
        """Raise Inconclusive where the load has failed, or cannot be asked."""
        self._order("count")

    @property
    def history(self) -> History:
        """What was done so far, and what the watchers saw."""
        return History.from_lines(str(self._order("history", within=seconds(60))))

    def read_every_member(self, within: float) -> History:
        """As `Load.read_every_member`."""
        told = self._order("final", within=within + _ANSWERS, arguments={"within": within})
        return History.from_lines(str(told))

    def trust(self) -> None:
        """Take up the platform's CA as it is now: its replacement has begun, or gone on."""
        self._order("trust", arguments={"ca": self._site.ca_file.read_text()})

    def close(self) -> None:
        """End the program in the pod. The pod itself and the user go by `remove_traces`."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None

    def _order(
        self, do: str, within: float = _ANSWERS, arguments: Mapping[str, Any] | None = None
    ) -> Any:
        if self._talk is None:
            raise ClusterError("the load was not prepared, or is closed")
        answer = self._talk.ask({"do": do, **(arguments or {})}, within)
        if "error" not in answer:
            return answer["told"]
        words = str(answer["words"])
        raise Late(words) if answer["error"] == LATE else Inconclusive(words)

    def _clock(self) -> float:
        """Seconds by which the pod's clock may differ. Raises Inconclusive where it surely does."""
        best = float("inf")
        for _ in range(5):
            sent = time.monotonic_ns()
            told = int(self._order("clock"))
            back = time.monotonic_ns()
            if not sent <= told <= back:
                raise Inconclusive("the pod has another monotonic clock: it is on another machine")
            best = min(best, (back - sent) / 1e9)
        return best


def remove_traces(site: Site) -> None:
    """Take away the pods, tables and user of loads that are over. Raises ClusterError."""
    try:
        site.core.delete_collection_namespaced_pod(
            _CLIENT.namespace, label_selector=f"{PROBE_LABEL}={_LABEL}", grace_period_seconds=0
        )
    except client.ApiException as error:
        raise ClusterError(f"pods of a load cannot be removed: {error.reason}") from error
    with Postgres().connect(site) as connection:
        there = connection.execute(_KNOWN, (USER,)).fetchone()
    if there:
        _run(site, _GONE)


def _make_user(site: Site) -> str:
    """Its password, which no statement carries."""
    password = secrets.token_urlsafe(32)
    with Postgres().connect(site) as connection:
        verifier = connection.pgconn.encrypt_password(
            password.encode(), USER.encode(), b"scram-sha-256"
        ).decode()
    _run(site, _ROLE, password=sql.Literal(verifier))
    return password


def _run(site: Site, statements: tuple[LiteralString, ...], **values: sql.Composable) -> None:
    names: dict[str, sql.Composable] = {
        "user": sql.Identifier(USER),
        "schema": sql.Identifier(SCHEMA),
        "database": sql.Identifier(DATABASE),
    }
    try:
        with Postgres().connect(site) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement).format(**names, **values))
    except psycopg.Error as error:
        raise ClusterError(f"PostgreSQL refused what a load needs: {error}") from error


def _start(site: Site, name: str) -> None:
    pod = pod_for(_CLIENT, [], python_image(site))
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"][PROBE_LABEL] = _LABEL
    spec = pod["spec"]
    spec["activeDeadlineSeconds"] = _LIVES
    spec["tolerations"] = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    spec["affinity"] = _beside_members(site)
    spec["volumes"] = [{"name": "tmp", "emptyDir": {"sizeLimit": "32Mi"}}]
    (box,) = spec["containers"]
    box["command"] = ["python3", "-c", _WAITS]
    box["volumeMounts"] = [{"name": "tmp", "mountPath": _FOLDER}]
    box["resources"] = {
        "requests": {"cpu": "50m", "memory": "96Mi", "ephemeral-storage": "48Mi"},
        "limits": {"cpu": "1", "memory": "384Mi", "ephemeral-storage": "96Mi"},
    }
    try:
        site.core.create_namespaced_pod(_CLIENT.namespace, pod)
    except client.ApiException as error:
        raise ClusterError(f"the load's pod cannot be made: {error.reason}") from error

    def runs() -> bool:
        found: Any = site.core.read_namespaced_pod(name, _CLIENT.namespace)
        if found.status.phase == "Running":
            return True
        raise NotYet(readiness.pod_trouble(found) or found.status.phase)

    wait_until(runs, _STARTS, every=0.3, what=f"the load's pod {name} runs")


def _beside_members(site: Site) -> dict[str, Any]:
    """On no member's node, where there is another: a fault of that node would take us, too."""
    taken = {str(pod.spec.node_name) for pod in containers.pods(site, members.COMPONENT)}
    nodes: Any = site.core.list_node()
    if taken >= {node.metadata.name for node in nodes.items}:
        return {}
    # of a field the API server takes one value each
    fields = [
        {"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in sorted(taken)
    ]
    terms = [{"matchFields": fields}]
    wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": wanted}


def _packed() -> bytes:
    """The package without its selftests, for Python to import from."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            place = path.relative_to(PACKAGE)
            if place.parts[0] != "selftests":
                archive.write(path, f"infraforge/{place.as_posix()}")
    return packed.getvalue()


class _Conversation:
    """Orders to the program in the pod, and its answers, one line each."""

    def __init__(self, site: Site, pod: str) -> None:
        self._process = site.converse(
            _CLIENT.namespace, pod, "reach", "python3", "-c", _BOOT, _FOLDER
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin
        self._answers: Queue[str] = Queue()
        self._said: list[str] = []
        for stream, sink in (
            (self._process.stdout, self._answers.put),
            (self._process.stderr, self._said.append),
        ):
            threading.Thread(target=_pass_on, args=(stream, sink), daemon=True).start()

    def begin(self, wanted: Mapping[str, Any]) -> None:
        data = _packed()
        self._send(f"{len(data)}\n".encode() + data + f"{json.dumps(dict(wanted))}\n".encode())

    def ask(self, order: Mapping[str, Any], within: float) -> Mapping[str, Any]:
        """Raises ClusterError where no answer comes in time."""
        self._send(f"{json.dumps(dict(order))}\n".encode())
        try:
            line = self._answers.get(timeout=within)
        except Empty:
            line = ""
        if not line:
            said = " ".join("".join(self._said).split())[-300:]
            raise ClusterError(f"the load does not answer to {order['do']!r}: {said or 'silence'}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, data: bytes) -> None:
        try:
            self._input.write(data)
            self._input.flush()
        except OSError as error:
            raise ClusterError(f"the load's pod hears no more: {error}") from error


def _pass_on(stream: Any, sink: Any) -> None:
    for line in iter(stream.readline, b""):
        sink(line.decode("utf-8", "replace"))
    sink("")
