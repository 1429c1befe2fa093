"""What peers of the platform's PostgreSQL are made of: processes of this machine, and nothing else.

The same PostgreSQL and Patroni as the platform's, from the platform's own image, in containers that
have no network but a loopback of their own: no port of the machine is taken, and nobody can reach
them but by the sockets in a folder of ours. The load runs here, as close as a client can be.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infraforge import interrupts, stack
from infraforge.bench import rounds
from infraforge.bench.kinds import Kind
from infraforge.bench.rounds import Watched, Writers
from infraforge.cluster.docker_cli import docker
from infraforge.components import patroni
from infraforge.errors import ClusterError
from infraforge.history import HEAL, NEMESIS, History
from infraforge.images import build
from infraforge.images.catalogue import Catalogue
from infraforge.processes import Identity
from infraforge.profile import Profile
from infraforge.recorder import Recorder
from infraforge.workloads.postgresql import Load, Member, Members, Watchers

SOCKETS = "/sockets"
"""In a container: the folder that its member's socket is in, which is one of this machine's."""
POSTGRES = "postgres"
"""The image, and the superuser."""
_LABEL = "infraforge.bench"
_LAST = "30"
_PREFIX = "ifb-"
"""Of a short folder's name: the path of a socket has 107 bytes at most."""
_TLS = ("ssl", "unix_socket_directories")
"""Parameters of PostgreSQL that begin so say where it is, not how it works."""


def settings(profile: Profile) -> Mapping[str, Any]:
    """The platform's own settings of Patroni, as this profile's members read them."""
    return patroni.settings(profile, stack.TREE / "components" / "postgres")


def parameters(of: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of PostgreSQL that a member of the platform has, but for TLS.

    of: Patroni's settings. Those that Patroni keeps for all members come last, as there.
    """
    own = of["postgresql"].get("parameters", {})
    shared = of["bootstrap"]["dcs"].get("postgresql", {}).get("parameters", {})
    kept = {name: value for name, value in own.items() if not name.startswith(_TLS)}
    return {**kept, "unix_socket_directories": SOCKETS, **shared}


def image(name: str) -> str:
    """The tag of one of the platform's images. Raises UsageError where it is not built."""
    return build.record(name, Catalogue.load(stack.TREE)).tag


class Containers:
    """Containers that share one loopback and have no other network; gone at the block's end.

    names: of the members. Each has a folder of sockets here, `folder(name)`. What a run that was
    killed left behind is removed first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.password = secrets.token_urlsafe(24)
        self._run = uuid.uuid4().hex[:8]
        self._root = Path()
        self._first = ""

    def __enter__(self) -> Self:
        remove_left_behind()
        self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))  # 0700: the sockets are ours alone
        for name in self.names:
            self.folder(name).mkdir()
            self.folder(name).chmod(0o777)  # the user in the container is none of this machine's
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interrupts.undisturbed():
            _remove(f"{_LABEL}.run={self._run}")
            shutil.rmtree(self._root, ignore_errors=True)

    def folder(self, name: str) -> Path:
        """Where the member's socket is."""
        return self._root / name

    def file(self, name: str, text: str) -> Path:
        """A file for containers to read."""
        path = self._root / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def start(
        self, name: str, image: str, *argv: str, options: Sequence[str] = (), entry: str = ""
    ) -> None:
        """Begin a container. options: docker's. Raises ClusterError where it does not begin."""
        docker(
            *("run", "--detach", "--name", self._container(name)),
            *("--label", f"{_LABEL}.run={self._run}", "--label", f"{_LABEL}={_owner()}"),
            *("--label", f"{_LABEL}.folder={self._root}"),
            *("--network", f"container:{self._first}" if self._first else "none"),
            *options,
            *(("--entrypoint", entry) if entry else ()),
            *(image, *argv),
        )
        self._first = self._first or self._container(name)

    def execute(self, name: str, *argv: str, options: Sequence[str] = ()) -> str:
        """What a command prints in a container. Raises ClusterError where it fails."""
        return docker("exec", *options, self._container(name), *argv)

    def last_words(self, name: str) -> str:
        """The end of what a container has written."""
        with contextlib.suppress(ClusterError):
            return docker("logs", "--tail", _LAST, self._container(name))
        return ""

    def members(self, ports: Mapping[str, int]) -> Members:
        """The members by their sockets. ports: of each member, which names the socket."""
        login = {"user": POSTGRES, "password": self.password, "dbname": POSTGRES}
        found = (Member(str(self.folder(name)), port) for name, port in ports.items())
        return Members(tuple(found), login)

    def _container(self, name: str) -> str:
        return f"infraforge-bench-{self._run}-{name}"


def remove_left_behind() -> None:
    """Remove containers of runs whose process is gone, and their folders."""
    told = docker("ps", "--all", "--filter", f"label={_LABEL}", "--format", _FORMAT)
    for line in set(told.splitlines()):
        owner, run, folder = line.split(" ", 2)
        if not _lives(owner):
            _remove(f"{_LABEL}.run={run}")
            if Path(folder).name.startswith(_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)


_FORMAT = " ".join(f'{{{{.Label "{_LABEL}{one}"}}}}' for one in ("", ".run", ".folder"))


def _remove(label: str) -> None:
    found = docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()
    if found:
        docker("rm", "--force", "--volumes", *found)


def _owner() -> str:
    own = Identity.own()
    return f"{own.pid}/{own.started}/{own.boot}"


def _lives(owner: str) -> bool:
    pid, _, rest = owner.partition("/")
    started, _, boot = rest.partition("/")
    whole = pid.isdigit() and started.isdigit()
    return whole and Identity(int(pid), int(started), boot).lives


@contextlib.contextmanager
def load(members: Members) -> Iterator[Writers]:
    """The platform's load, on these members, with watchers beside it. Its tables stay."""
    made = Load(members, **rounds.LOAD)
    made.prepare()
    yield Watched(made, Watchers(members))


class PeerFaults:
    """The one fault that peers get: a crash, by `strike`, which returns its proof in words.

    whole: returns once all members stream again.
    """

    def __init__(self, strike: Callable[[], str], whole: Callable[[], None]) -> None:
        self._strike, self._whole = strike, whole
        self._recorder = Recorder()

    @property
    def history(self) -> History:
        return self._recorder.history

    def inject(self, kind: Kind) -> str:
        with self._recorder.call(NEMESIS, kind.fault.describe()) as call:
            proof = self._strike()
            call.ok(proof)
        return proof

    def heal(self) -> None:
        """Nothing is undone: what was killed comes back. After no fault there is nothing to do."""
        if self.history.faults:
            with self._recorder.call(NEMESIS, HEAL) as call:
                self._whole()
                call.ok()
