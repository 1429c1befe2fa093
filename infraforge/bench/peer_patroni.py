"""Plain Patroni processes as a peer: the platform's settings, on loopback, with etcd for a lock.

etcd stands where the platform has the Kubernetes API. Patroni 4.0.7 speaks to it (`etcd3`) by two
Python packages that the platform's image has not, as the platform needs neither:
`patroni/dcs/etcd3.py` imports `etcd`, and `etcd.py` beside it `dns`. They are this project's extra
`bench`, pure Python, and lent to the containers.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import json
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import yaml

from infraforge.bench import peers, samples
from infraforge.bench.peers import SOCKETS, Containers, PeerFaults
from infraforge.bench.rounds import Writers
from infraforge.components import members, patroni
from infraforge.errors import ClusterError, TimedOut, UsageError
from infraforge.profile import Profile
from infraforge.wait import NotYet, seconds, wait_until
from infraforge.workloads.postgresql import Members

_ETCD = "etcd"
_ETCD_PORT = 2379
_PORT, _API = 5432, 8008
"""Of the first member; the others have the following ones."""
_LENT = "/lent"
_LIBRARIES = ("etcd", "dns")
_DATA = "/tmp/data"  # noqa: S108 - in the container
_UP = seconds(120)
_KILL = f"""
pid=$(head -n 1 {_DATA}/postmaster.pid) && kill -KILL "$pid" || exit 1
timeout 5 sh -c 'while kill -0 "$1" 2>/dev/null; do sleep 0.02; done' wait "$pid" && echo "$pid"
"""
_CLUSTER = "import urllib.request as u; print(u.urlopen('http://{}/cluster').read().decode())"


def configuration(
    settings: Mapping[str, Any], number: int, passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Patroni's settings of one member: the platform's, and of its own only where it is.

    settings: the platform's; number: from 0; passwords: of superuser, replication and rewind.
    """
    made = copy.deepcopy(dict(settings))
    for of_kubernetes in ("kubernetes", "ctl"):
        made.pop(of_kubernetes, None)
    api, postgres = f"127.0.0.1:{_API + number}", f"127.0.0.1:{_PORT + number}"
    users = made["postgresql"]["authentication"]
    made |= {
        "name": name_of(number),
        "etcd3": {"host": f"127.0.0.1:{_ETCD_PORT}"},
        "restapi": {"listen": api, "connect_address": api},
    }
    made["postgresql"] |= {
        "listen": postgres,
        "connect_address": postgres,
        "data_dir": _DATA,
        "authentication": {
            role: {"username": users[role]["username"], "password": passwords[role]}
            for role in users
        },
        "pg_hba": [
            "local all all scram-sha-256",
            "host all all 127.0.0.1/32 scram-sha-256",
            "host replication all 127.0.0.1/32 scram-sha-256",
        ],
        "parameters": local(settings),
    }
    return made


def local(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are a member's own; the others Patroni hands out (`bootstrap.dcs`)."""
    own = (*settings["postgresql"].get("parameters", {}), "unix_socket_directories")
    everything = peers.parameters(settings)
    return {name: everything[name] for name in own if name in everything}


def name_of(number: int) -> str:
    """As the platform names its members, so that one query tells who streams."""
    return f"{members.COMPONENT}-{number}"


def libraries() -> list[Path]:
    """The folders of the packages that Patroni needs for etcd. Raises UsageError without them."""
    found = []
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(
                f"Patroni needs the Python package {name} to speak to etcd; run: "
                "pip install -e '.[bench]'"
            )
        found.append(Path(spec.submodule_search_locations[0]))
    return found


class PlainPatroni:
    """As many Patronis as the profile has members, and one etcd; runs while the block does.

    Raises UsageError where an image or a package is missing, ClusterError or TimedOut where they do
    not start.
    """

    name = samples.PLAIN

    def __init__(self, profile: Profile) -> None:
        self._settings = peers.settings(profile)
        self._count = len(members.of(profile))
        self._containers = Containers([name_of(number) for number in range(self._count)])
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        lent = libraries()
        images = {name: peers.image(name) for name in (_ETCD, peers.POSTGRES)}
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._containers)
            self._start(images, lent)
            self._wait_whole()
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
        return PeerFaults(self._kill, self._wait_whole)

    @property
    def _members(self) -> Members:
        ports = {name: _PORT + at for at, name in enumerate(self._containers.names)}
        return self._containers.members(ports)

    def _start(self, images: Mapping[str, str], lent: list[Path]) -> None:
        own = self._containers
        urls = f"http://127.0.0.1:{_ETCD_PORT}"
        own.start(
            _ETCD,
            images[_ETCD],
            *("etcd", "--data-dir=/data/etcd"),
            *(f"--listen-client-urls={urls}", f"--advertise-client-urls={urls}"),
            options=("--mount", "type=volume,dst=/data"),
        )
        passwords = {"superuser": own.password}
        passwords |= {role: secrets.token_urlsafe(24) for role in ("replication", "rewind")}
        mounts = [f"--volume={path}:{_LENT}/{path.name}:ro" for path in lent]
        for number, name in enumerate(own.names):
            made = configuration(self._settings, number, passwords)
            file = own.file(f"{name}.yml", yaml.safe_dump(made))
            own.start(
                name,
                images[peers.POSTGRES],
                "/etc/patroni.yml",
                options=(
                    f"--volume={file}:/etc/patroni.yml:ro",
                    f"--volume={own.folder(name)}:{SOCKETS}",
                    f"--env=PYTHONPATH={_LENT}",
                    *mounts,
                ),
            )

    def _kill(self) -> str:
        """SIGKILL to the primary's postmaster; its Patroni lives on. Returns the proof."""
        primary = self._look().primary
        pid = self._containers.execute(primary, "sh", "-c", _KILL)
        return f"{primary}: postmaster {pid} is gone"

    def _wait_whole(self) -> None:
        def whole() -> bool:
            found = self._look()
            if not found.whole(self._count):
                raise NotYet(str(found))
            return True

        what = "all members of plain Patroni stream"
        try:
            wait_until(whole, _UP, every=0.5, ignoring=(ClusterError,), what=what)
        except TimedOut as error:
            said = self._containers.last_words(self._containers.names[0])
            raise ClusterError(f"{error}; the first member's last words: {said}") from error

    def _look(self) -> patroni.Members:
        """Who is what. Raises ClusterError."""
        try:
            with contextlib.closing(
                psycopg.connect(**self._members.parameters("read-write"), autocommit=True)
            ) as connection:
                rows = connection.execute(patroni.STREAMS).fetchall()
                primary = Path(connection.info.host).name
        except psycopg.Error as error:
            raise ClusterError(f"no member takes writes: {error}") from error
        api = f"127.0.0.1:{_API + self._containers.names.index(primary)}"
        told = self._containers.execute(primary, "python3", "-c", _CLUSTER.format(api))
        promotable = [one["name"] for one in json.loads(told)["members"] if _synchronous(one)]
        return patroni.Members.seen(primary, rows, ",".join(promotable))


def _synchronous(member: Mapping[str, Any]) -> bool:
    return bool(member["role"] == "sync_standby")
