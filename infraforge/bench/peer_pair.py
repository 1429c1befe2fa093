"""A raw promotion as a peer: a primary, its standby, and nobody who has to find out.

The primary is killed and its standby promoted by the same command, so the time is what PostgreSQL
itself and the clients take: the floor below anything that must first notice, and agree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import psycopg

from infraforge.bench import peers, samples
from infraforge.bench.peers import SOCKETS, Containers, PeerFaults
from infraforge.bench.rounds import Writers
from infraforge.errors import ClusterError
from infraforge.profile import Profile
from infraforge.wait import seconds, wait_until
from infraforge.workloads.postgresql import Members

_HOLDER = "pair"
_NAMES = ("raw-0", "raw-1")
_PORTS = {name: 5432 + at for at, name in enumerate(_NAMES)}
_UP = seconds(60)
_FAIL_OVER = """
pid=$(head -n 1 "$1/postmaster.pid") && kill -KILL "$pid" || exit 1
pg_ctl --pgdata="$2" --silent promote && echo "$pid"
"""
_STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
_HBA = "local all all trust\nlocal replication all trust\n"


def configuration(settings: Mapping[str, Any]) -> str:
    """`postgresql.conf` of both: the platform's parameters, and no TCP.

    settings: the platform's settings of Patroni.
    """
    told = {**peers.parameters(settings), "listen_addresses": ""}
    return "".join(f"{name} = '{value}'\n" for name, value in told.items())


class RawPair:
    """Two PostgreSQL servers in one container, one streaming from the other, synchronously.

    Raises UsageError where the image is missing, ClusterError or TimedOut where they do not start.
    """

    name = samples.RAW

    def __init__(self, profile: Profile) -> None:
        self._settings = peers.settings(profile)
        self._containers = Containers(_NAMES)
        self._primary, self._standby = _NAMES
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        image = peers.image(peers.POSTGRES)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._containers)
            self._create(image)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def load(self) -> AbstractContextManager[Writers]:
        return peers.load(self._members)

    def faults(self) -> PeerFaults:
        return PeerFaults(self._fail_over, self._clone)

    @property
    def _members(self) -> Members:
        return self._containers.members(_PORTS)

    def _create(self, image: str) -> None:
        own = self._containers
        file = own.file("postgresql.conf", configuration(self._settings))
        hba = own.file("pg_hba.conf", _HBA)
        own.start(
            _HOLDER,
            image,
            "infinity",
            entry="sleep",
            options=(
                "--init",  # the first process reaps the servers that are killed
                f"--volume={file}:/etc/postgresql.conf:ro",
                f"--volume={hba}:/etc/pg_hba.conf:ro",
                *(f"--volume={own.folder(name)}:{SOCKETS}/{name}" for name in _NAMES),
            ),
        )
        initdb = self._settings["bootstrap"]["initdb"]
        options = [_option(item) for item in initdb if not _option(item).startswith("--auth")]
        self._run("initdb", f"--pgdata={_data(self._primary)}", "--username=postgres", *options)
        self._start(self._primary)
        self._clone()

    def _clone(self) -> None:
        """Make the other one anew, as the standby that commits wait for."""
        primary, standby = self._primary, self._standby
        self._run("rm", "-rf", _data(standby))
        socket = f"{SOCKETS}/{primary}"
        self._run(
            *("pg_basebackup", f"--pgdata={_data(standby)}", f"--host={socket}"),
            *(f"--port={_PORTS[primary]}", "--username=postgres"),
            *("--checkpoint=fast", "--wal-method=stream"),
        )
        told = f"host={socket} port={_PORTS[primary]} user=postgres application_name={standby}"
        self._append(standby, "primary_conninfo", told)
        self._append(standby, "synchronous_standby_names", "")
        self._run("touch", f"{_data(standby)}/standby.signal")
        self._start(standby)
        with self._connected() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        wait_until(self._streams, _UP, every=0.1, what=f"{standby} streams synchronously")

    def _fail_over(self) -> str:
        old, new = self._primary, self._standby
        pid = self._run("sh", "-c", _FAIL_OVER, "fail-over", _data(old), _data(new))
        self._primary, self._standby = new, old
        return f"{old}: postmaster {pid} was killed; {new} is promoted"

    def _streams(self) -> bool:
        with self._connected() as connection:
            row = connection.execute(_STREAMS).fetchone()
        return bool(row and row[0] == 1)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        where = self._members.only(str(self._containers.folder(self._primary)))
        try:
            with contextlib.closing(
                psycopg.connect(**where.parameters("read-write"), autocommit=True)
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise ClusterError(f"{self._primary} does not answer: {error}") from error

    def _start(self, name: str) -> None:
        port, socket = _PORTS[name], f"{SOCKETS}/{name}"
        options = (
            f"-p {port} -c unix_socket_directories={socket} "
            "-c config_file=/etc/postgresql.conf -c hba_file=/etc/pg_hba.conf"
        )
        log = f"{_data(name)}.log"
        self._run("pg_ctl", f"--pgdata={_data(name)}", f"--log={log}", "-o", options, "start")

    def _append(self, name: str, setting: str, value: str) -> None:
        line = f"{setting} = '{value}'"
        script = 'printf "%s\\n" "$2" >>"$1/postgresql.auto.conf"'
        self._run("sh", "-c", script, "append", _data(name), line)

    def _run(self, *argv: str) -> str:
        return self._containers.execute(_HOLDER, *argv)


def _data(name: str) -> str:
    return f"/tmp/{name}"  # noqa: S108 - in the container


def _option(item: Any) -> str:
    """One of Patroni's options for initdb as an argument: a word, or a mapping of one name."""
    if isinstance(item, str):
        return f"--{item}"
    ((name, value),) = item.items()
    return f"--{name}={value}"
