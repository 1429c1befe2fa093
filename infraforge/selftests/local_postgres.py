"""A PostgreSQL of three members on loopback, from the binaries of this machine, under a folder.

It has no Patroni: who is promoted, when, is the test's own doing. pg-0 is the first primary, pg-1
its synchronous standby, and pg-2 follows pg-1: so it is never ahead of the one that is promoted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from infraforge.wait import seconds, wait_until
from infraforge.workloads.postgresql import Member, Members

USER = "postgres"
LACKS = not (shutil.which("initdb") and shutil.which("postgres"))
_AS_ROOT = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
_STREAMS = "SELECT count(*) FROM pg_stat_replication"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # the machine does not lose its power here
    "shared_buffers": "16MB",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_keep_size": "256MB",
    "wal_log_hints": "on",
    "wal_retrieve_retry_interval": "100ms",
    "checkpoint_timeout": "30min",
    "logging_collector": "off",
}


class LocalPostgres:
    """Members pg-0, pg-1 and pg-2; `stop` is to be called at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.chmod(0o755)
        self._ports = {f"pg-{number}": _free_port() for number in range(3)}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def members(self) -> Members:
        return Members(
            tuple(Member(name, port, "127.0.0.1") for name, port in self._ports.items()),
            {"user": USER, "dbname": "postgres"},
        )

    def create(self) -> None:
        """All three, the standbys streaming, one of them synchronous."""
        first = self._data("pg-0")
        self._run("initdb", "-D", str(first), "-U", USER, "-A", "trust", "-N", "--wal-segsize=1")
        settings = "".join(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        with (first / "postgresql.conf").open("a") as file:
            file.write(settings)
        self.start("pg-0")
        for name, followed in (("pg-1", "pg-0"), ("pg-2", "pg-1")):
            port = str(self._ports["pg-0"])
            data = str(self._data(name))
            self._run(
                *("pg_basebackup", "-D", data, "-h", "127.0.0.1", "-p", port, "-U", USER),
                *("-c", "fast", "-X", "stream"),
            )
            self.follow(name, followed)
        self.set("pg-0", "synchronous_standby_names", "pg_1")
        wait_until(
            lambda: all(self.value(name, _STREAMS) == 1 for name in ("pg-0", "pg-1")),
            within=seconds(60),
            ignoring=(psycopg.Error,),
            what="each standby streams",
        )

    def start(self, name: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._servers[name] = subprocess.Popen(
            [_program("postgres"), "-D", str(self._data(name)), "-p", str(self._ports[name])],
            stdout=log,
            stderr=log,
            **_AS_ROOT,
        )
        wait_until(
            lambda: self.value(name, "SELECT 1"),
            within=seconds(60),
            ignoring=(psycopg.Error,),
            what=f"{name} answers",
        )

    def follow(self, name: str, primary: str) -> None:
        """Start it as a standby of that primary."""
        data = self._data(name)
        told = f"host=127.0.0.1 port={self._ports[primary]} user={USER} application_name="
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{told}{name.replace('-', '_')}'\n")
            file.write("synchronous_standby_names = ''\n")
        (data / "standby.signal").touch()
        self.start(name)

    def rewind(self, name: str, primary: str) -> None:
        """Make a former primary that was killed like the primary, and start it as its standby."""
        with self.connect(primary) as connection:
            # else its control file may tell the former timeline, and nothing would be rewound
            connection.execute("CHECKPOINT")
        source = f"host=127.0.0.1 port={self._ports[primary]} user={USER} dbname=postgres"
        self._run("pg_rewind", "-D", str(self._data(name)), f"--source-server={source}")
        self.follow(name, primary)

    def promote(self, name: str) -> None:
        with self.connect(name) as connection:
            connection.execute("SELECT pg_promote(false)")

    def kill(self, name: str) -> None:
        """The postmaster and all its children, at once."""
        server = self._servers.pop(name)
        for pid in [*_children(server.pid), server.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.wait()

    def freeze(self, name: str, how: signal.Signals = signal.SIGSTOP) -> None:
        """Stop it with all its children (SIGCONT: let it go on)."""
        server = self._servers[name]
        for pid in [server.pid, *_children(server.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    def stop(self) -> None:
        for name in list(self._servers):
            self.freeze(name, signal.SIGCONT)
            self.kill(name)

    def set(self, name: str, setting: str, value: str) -> None:
        with self.connect(name) as connection:
            # ALTER SYSTEM takes no parameters; the values are this file's and the tests' own
            connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")

    def value(self, name: str, query: str) -> object:
        with self.connect(name) as connection:
            row = connection.execute(query).fetchone()
            assert row
            return row[0]

    @contextlib.contextmanager
    def connect(self, name: str) -> Iterator[psycopg.Connection]:
        parameters = self.members.only(name).parameters("any")
        with contextlib.closing(psycopg.connect(**parameters, autocommit=True)) as connection:
            yield connection

    def _data(self, name: str) -> Path:
        data = self._folder / name
        if not data.exists():
            data.mkdir(mode=0o700)
            if _AS_ROOT:
                shutil.chown(data, USER, USER)
        return data

    def _run(self, *command: str) -> None:
        command = (_program(command[0]), *command[1:])
        done = subprocess.run(command, capture_output=True, text=True, check=False, **_AS_ROOT)
        assert done.returncode == 0, done.stderr


def _program(name: str) -> str:
    """Beside `initdb`: not all of them are on the PATH."""
    return str(Path(shutil.which("initdb") or "").resolve().parent / name)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
