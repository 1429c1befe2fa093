"""The local registry of this machine: two containers on the same data, shared by its clusters.

    writer   127.0.0.1:5001, on a docker network of its own: what this machine pushes to
    reader   infraforge-registry:5000 on the `kind` network: what nodes and the platform API pull
             from; it refuses every push

Both speak TLS by the machine's CA; their data is in the image cache, their configurations in
`platform/cluster/registry/`.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from infraforge.cluster import network, pki, state
from infraforge.cluster.docker_cli import docker
from infraforge.errors import UsageError
from infraforge.images.cache import cache_dir
from infraforge.wait import seconds, wait_until

NAME = "infraforge-registry"
PORT = 5001
_STARTED_AS = "infraforge.started-as"
"""The label with a digest of how a container was started."""
_UID = 10001


@dataclass(frozen=True)
class Listener:
    """One of the two containers.

    configuration: its file in `platform/cluster/registry/`; label: its value of our label;
    published: the port on 127.0.0.1, "" for any that is free; names: of its certificate.
    """

    container: str
    network: str
    configuration: str
    label: str
    published: str
    names: Sequence[str]

    @property
    def folder(self) -> Path:
        """Its configuration, certificate and key on this machine."""
        return _folder() / self.label


WRITER = Listener(
    container=f"{NAME}-writer",
    network=f"{NAME}-writer",
    configuration="writer.yml",
    label="registry-writer",
    published=str(PORT),
    names=("localhost",),
)
READER = Listener(
    container=NAME,
    network=network.NODES,
    configuration="reader.yml",
    label="registry",
    published="",
    names=(NAME, "localhost"),
)
LISTENERS = (WRITER, READER)


def ensure(image: str, authority: pki.Authority, tree: Path) -> None:
    """Run the registry as `tree` configures it, or find it running so.

    A container that was started otherwise (another image, configuration or certificate, or by a
    version that had one container for both) is replaced; the data stay. Raises UsageError where
    a container or network of that name is not ours, or somebody else has the port.
    """
    wanted = {one: _argv(one, image, authority, tree) for one in LISTENERS}
    stale = [one for one, argv in wanted.items() if not _fits(one, argv, authority.ca_file)]
    for one in stale:  # all of them first: one container of a former version held the writer's port
        if _label(one.container) is not None:
            docker("rm", "--force", one.container)
    if WRITER in stale:
        network.ensure(WRITER.network, WRITER.label)
        if _taken(PORT):
            raise UsageError(
                f"127.0.0.1:{PORT} is taken by another program; the registry needs it. "
                f"Who it is: ss -ltnp 'sport = :{PORT}'"
            )
    _own(_data())
    _forget_former_files()
    for one in stale:
        docker(*wanted[one])
        wait_until(
            lambda one=one: _answers(one, authority.ca_file),  # type: ignore[misc]
            within=seconds(20),
            what=f"{one.container} answers",
        )


def started_as() -> dict[str, str]:
    """What each container of ours was started as: another value, another configuration."""
    asked = ["--filter", f"label={_STARTED_AS}", "--format"]
    said = docker("ps", "--all", *asked, f'{{{{.Names}}}} {{{{.Label "{_STARTED_AS}"}}}}')
    return dict(line.split(" ", 1) for line in said.splitlines())


def remove() -> list[str]:
    """Remove registry and networks unless a cluster still uses them; what was removed, in words.

    What is not ours stays: a network that KIND itself made, for instance.
    """
    removed: list[str] = []
    nodes = docker("ps", "--all", "--filter=label=io.x-k8s.kind.cluster", "--format={{.Image}}")
    if any(image.startswith("infraforge/") for image in nodes.splitlines()):
        return removed
    for one in LISTENERS:
        if _label(one.container) == one.label:
            docker("rm", "--force", one.container)
            removed.append(f"registry container {one.container}")
    removed += network.remove_unused(network.NODES)
    removed += network.remove_unused(WRITER.network, WRITER.label)
    if _folder().exists():
        shutil.rmtree(_folder())
        removed.append(f"files in {_folder()}")
    return removed


def ours() -> list[str]:
    """Names of the registry's containers, of those that there are and that we made.

    By name and label: whatever is run from one of our images inherits a label of ours.
    """
    return [one.container for one in LISTENERS if _label(one.container) == one.label]


def _argv(one: Listener, image: str, authority: pki.Authority, tree: Path) -> list[str]:
    """How to start it, its files written; the label says by digest what that comes to."""
    text = (tree / "cluster" / "registry" / one.configuration).read_text()
    certificate = _certificate(one, authority)
    (one.folder / "config.yml").write_text(text)
    _own(one.folder)
    argv = [
        "run",
        "--detach",
        f"--name={one.container}",
        f"--network={one.network}",
        f"--publish=127.0.0.1:{one.published}:5000",
        "--restart=unless-stopped",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--user={_user()}",
        f"--label={network.OURS}={one.label}",
        f"--volume={one.folder}:/etc/registry:ro",
        f"--volume={_data()}:/var/lib/registry{':ro' if _reads_only(text) else ''}",
        image,
    ]
    digest = hashlib.sha256("\0".join([*argv, text, certificate]).encode()).hexdigest()[:16]
    return [*argv[:-1], f"--label={_STARTED_AS}={digest}", image]


def _fits(one: Listener, argv: Sequence[str], ca_file: Path) -> bool:
    """Whether it runs as it is to be started. Raises UsageError where it is not ours."""
    label = _label(one.container)
    if label is None:
        return False
    if label != one.label:
        raise UsageError(
            f"the container {one.container} is not InfraForge's, which needs the name; "
            f"rename it: docker rename {one.container} OTHER"
        )
    asked = f'{{{{.State.Running}}}} {{{{index .Config.Labels "{_STARTED_AS}"}}}}'
    said = docker("inspect", "--type=container", "-f", asked, one.container, check=False)
    running, _, started_as = said.partition(" ")
    return (
        running == "true"
        and f"--label={_STARTED_AS}={started_as}" in argv
        and _answers(one, ca_file)
    )


def _label(container: str) -> str | None:
    """Our label on the container, "" where it has none; None where there is no such container."""
    asked = ["--filter", f"name=^/{container}$", "--format", f'<{{{{.Label "{network.OURS}"}}}}>']
    said = docker("ps", "--all", *asked)
    return said.strip("<>") if said else None


def _reads_only(configuration: str) -> bool:
    """Whether the configuration (YAML) has the registry refuse pushes."""
    storage = yaml.safe_load(configuration)["storage"]
    readonly = storage.get("maintenance", {}).get("readonly", {})
    return bool(readonly.get("enabled"))


def _certificate(one: Listener, authority: pki.Authority) -> str:
    """A certificate of this CA in the listener's folder, the one that is there while it is good."""
    one.folder.mkdir(parents=True, exist_ok=True)
    crt, ips = one.folder / "tls.crt", ["127.0.0.1"]
    if not (crt.exists() and authority.vouches_for(crt.read_text(), one.names, ips)):
        pair = authority.issue(one.names, ips)
        crt.unlink(missing_ok=True)  # killed here, the next run makes both anew
        pki.write_private(one.folder / "tls.key", pair.key_pem)
        pki.write_private(crt, pair.cert_pem)
    return crt.read_text()


def _forget_former_files() -> None:
    """Remove what a version with one container left: its key is nobody's any more."""
    for name in ("tls.crt", "tls.key", "config.yml"):
        (_folder() / name).unlink(missing_ok=True)


def _folder() -> Path:
    return state.state_dir() / "registry"


def _data() -> Path:
    data = cache_dir() / "registry"
    data.mkdir(parents=True, exist_ok=True)
    return data


def _user() -> str:
    """Whose processes the containers' are: the registry's own user, or whoever is not root."""
    return f"{_UID}:{_UID}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def _own(folder: Path) -> None:
    """Give the folder to the containers' user; they are that of whoever is not root."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            if path.stat().st_uid != _UID:
                os.chown(path, _UID, _UID)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _answers(one: Listener, ca_file: Path) -> bool:
    """Whether the registry's API answers at 127.0.0.1, with a certificate of this CA."""
    port = (
        one.published or docker("port", one.container, "5000/tcp", check=False).rpartition(":")[2]
    )
    if not port:
        return False
    context = ssl.create_default_context(cafile=str(ca_file))
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), timeout=2, context=context)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
