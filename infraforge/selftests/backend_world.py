"""The backend's application over a real PostgreSQL and a store in memory, without a cluster.

The server is one that this machine has installed, with a folder and a socket of its own; it speaks
to nobody else and is gone afterwards. Where there is none, who asks is skipped, and says so.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.rows import dict_row

from infraforge.selftests import apps

T = TypeVar("T")
COMPONENT = apps.APPS.parent / "components" / "postgres"
LOGIN = "v-backend"
_NAME = "infraforge"

problems = importlib.import_module("infraforge_shared.problems")
cache = importlib.import_module("infraforge_backend.cache")
objects = importlib.import_module("infraforge_backend.objects")


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs; None where there are none."""
    initdb = shutil.which("initdb")
    folders = [Path(initdb).parent] if initdb else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Server:
    """A PostgreSQL server with nothing in it but its own."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self._bin = bin_folder
        # it does not run as root
        self._as = ["runuser", "-u", _somebody(), "--"] if os.getuid() == 0 else []
        if self._as:
            folder.chmod(0o755)
            shutil.chown(folder, _somebody())

    def start(self) -> None:
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", f"{data}.log", "-w", "start")

    def start_from(self, primary: Server) -> None:
        """Start as a standby that streams from the primary."""
        data = str(self.folder / "data")
        self._run(
            "pg_basebackup",
            "-D",
            data,
            "-h",
            str(primary.folder),
            "-U",
            "postgres",
            "-R",
            "-c",
            "fast",
        )
        options = f"-k {self.folder} -c listen_addresses="
        self._run("pg_ctl", "-D", data, "-o", options, "-l", f"{data}.log", "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def connect(self, database: str = _NAME, user: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.folder), dbname=database, user=user, autocommit=True, row_factory=dict_row
        )

    def script(self, name: str) -> bytes:
        """One of the component's files. Before 16, a grant knows no SET and INHERIT."""
        text = (COMPONENT / name).read_text()
        with self.connect("postgres") as connection:
            if connection.info.server_version < 160000:
                text = text.replace(
                    "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", "WITH ADMIN OPTION"
                )
        return text.encode()

    def fresh(self) -> None:
        """The application's database as a stand-up makes it, with nothing in it yet."""
        with self.connect("postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {_NAME} WITH (FORCE)".encode())
            admin.execute(self.script("roles.sql"))
            admin.execute(f"CREATE DATABASE {_NAME} OWNER app_owner".encode())
            admin.execute(f'DROP ROLE IF EXISTS "{LOGIN}"'.encode())
            admin.execute(f'CREATE ROLE "{LOGIN}" LOGIN IN ROLE app_owner'.encode())
            admin.execute(f'ALTER ROLE "{LOGIN}" SET ROLE app_owner'.encode())
        self.configure()

    def configure(self) -> None:
        with self.connect() as admin:
            admin.execute(self.script("database.sql"))

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, str(self._bin.joinpath("initdb").resolve().with_name(program)), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server; skips where this machine has none installed."""
    binaries = programs()
    if binaries is None:
        pytest.skip("needs PostgreSQL's server programs, has none")
    with tempfile.TemporaryDirectory(prefix="infraforge-pg-", ignore_cleanup_errors=True) as name:
        made = Server(Path(name), binaries)
        made.start()
        try:
            yield made
        finally:
            made.stop()


class Database:
    """As the backend's: a transaction for each write, with the limits that the backend sets."""

    def __init__(self, running: Server, idle_seconds: float = 5.0) -> None:
        self._server = running
        self._idle = f"{int(idle_seconds * 1000)}ms"
        self._own = threading.local()

    def read(self, query: Callable[[Any], T]) -> T:
        return self.write((), query)

    def write(self, keys: Any, change: Callable[[Any], T]) -> T:
        try:
            connection = self._connection()
            with connection.transaction():
                return change(connection)
        except (psycopg.OperationalError, psycopg.errors.InternalError_) as error:
            raise problems.Unavailable(str(error)) from error

    def _connection(self) -> Any:
        """This thread's; another where it is broken."""
        connection = getattr(self._own, "connection", None)
        if connection is None or connection.closed:
            connection = self._own.connection = self._server.connect(user=LOGIN)
            connection.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, false)", (self._idle,)
            )
        return connection


class Store:
    """The object store in memory. parts: what uploads that never ended left behind."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.before_end: Callable[[], object] = lambda: None

    def put(self, key: str, source: Any, length: int | None, limit: int) -> Any:
        reader = objects.HashingReader(source, limit)
        pieces = []
        while piece := reader.read(1024):
            pieces.append(piece)
            self.parts[key] = b"".join(pieces)
        self.before_end()
        self.held[key] = self.parts.pop(key, b"")
        return objects.Stored(reader.size, reader.sha256)

    def get(self, key: str, size: int, start: int = 0, length: int = 0) -> Iterator[bytes]:
        if key not in self.held:
            raise objects.Gone(key)
        return iter([self.held[key][start : start + (length or size)]])

    def remove(self, key: str) -> None:
        self.held.pop(key, None)
        self.parts.pop(key, None)


class NoCache:
    """Every read goes to the database."""

    def read(self, key: str, load: Callable[[], bytes | None]) -> Any:
        return cache.Read(load(), "bypass")


def fresh_application(running: Server) -> Any:
    """The application over a database that holds its tables and nothing else."""
    migrations = importlib.import_module("infraforge_backend.migrations")
    running.fresh()
    Database(running).write((), migrations.apply)
    return application(running)


def application(running: Server) -> Any:
    """The application; headers name the requesting user, as in test_app_backend_app."""
    from infraforge.selftests.test_app_backend_app import NoCredentials  # noqa: PLC0415

    made = importlib.import_module("infraforge_backend.app")
    config = importlib.import_module("infraforge_backend.config")
    services = importlib.import_module("infraforge_backend.services")
    audit = importlib.import_module("infraforge_backend.audit")
    uploads = importlib.import_module("infraforge_backend.uploads")
    given = services.Services(config.Config(nats_url="tls://nowhere"), NoCredentials())
    given.database = Database(running)
    given.objects, given.cache = Store(), NoCache()
    given.denials, given.uploads = audit.Denials(given.database), uploads.Uploads(given.database)
    return made.create(given)


def at_once(*work: Callable[[], T]) -> list[T]:
    """What each returns, all begun together."""
    answers: dict[int, T] = {}
    barrier = threading.Barrier(len(work))

    def run(place: int, one: Callable[[], T]) -> None:
        barrier.wait(10)
        answers[place] = one()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [answers[place] for place in range(len(work))]


def _somebody() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    pytest.skip("needs an account that is not root's, has none")
