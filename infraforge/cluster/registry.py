"""The local registry: one container on the `kind` network, shared by the clusters of this machine.

Published on 127.0.0.1:5001 only, TLS by the platform CA, data in the image cache.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from infraforge.cluster import pki, state
from infraforge.errors import ClusterError, UsageError, machine_fault
from infraforge.images.cache import cache_dir
from infraforge.wait import seconds, wait_until

NAME = "infraforge-registry"
NETWORK = "kind"
PORT = 5001
_UID = 10001


def docker(*argv: str, check: bool = True) -> str:
    """Run docker and return what it printed; ClusterError with its words when it fails."""
    try:
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError("docker is missing; ./bootstrap installs it") from error
    if check and done.returncode != 0:
        if fault := machine_fault(done.stderr):
            raise UsageError(f"docker {argv[0]} failed: {fault}: {done.stderr.strip()}")
        raise ClusterError(f"docker {argv[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip() if done.returncode == 0 else ""


def ensure_network() -> None:
    """Make the `kind` network where it is missing: IPv4, masqueraded (as KIND itself would)."""
    if docker("network", "inspect", NETWORK, check=False):
        return
    options = ["--driver=bridge", "-o", "com.docker.network.bridge.enable_ip_masquerade=true"]
    docker("network", "create", *options, "--label", "infraforge=network", NETWORK)


def subnets() -> list[str]:
    """The IPv4 networks that nodes get their addresses from."""
    found = json.loads(docker("network", "inspect", NETWORK))[0]
    blocks = [block["Subnet"] for block in found["IPAM"]["Config"]]
    return [b for b in blocks if isinstance(ipaddress.ip_network(b), ipaddress.IPv4Network)]


def ensure(image: str, authority: pki.Authority) -> None:
    """Start the registry, or find it running with this image and a certificate of this CA.

    Raises UsageError when somebody else has its port.
    """
    folder = state.state_dir() / "registry"
    _certificate(folder, authority)
    running = docker(
        "inspect", "-f", "{{.State.Running}} {{.Config.Image}}", NAME, check=False
    ).split()
    if running == ["true", image] and _answers(authority.ca_file):
        return
    if running:
        docker("rm", "--force", NAME)
    if _taken(PORT):
        raise UsageError(
            f"127.0.0.1:{PORT} is taken by another program; the registry needs it. "
            f"Who it is: ss -ltnp 'sport = :{PORT}'"
        )
    data = cache_dir() / "registry"
    data.mkdir(parents=True, exist_ok=True)
    _own(data)
    (folder / "config.yml").write_text(_CONFIG)
    _own(folder)
    docker(
        "run",
        "--detach",
        f"--name={NAME}",
        f"--network={NETWORK}",
        f"--publish=127.0.0.1:{PORT}:5000",
        "--restart=unless-stopped",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--label=infraforge=registry",
        f"--volume={folder}:/etc/registry:ro",
        f"--volume={data}:/var/lib/registry",
        image,
    )
    wait_until(
        lambda: _answers(authority.ca_file), within=seconds(20), what="the local registry answers"
    )


def remove() -> list[str]:
    """Remove registry and network unless a cluster still uses them; what was removed, in words.

    A network that somebody else made (KIND itself, for instance) stays.
    """
    removed: list[str] = []
    if docker("ps", "--all", "--quiet", "--filter", "label=io.x-k8s.kind.cluster"):
        return removed
    if docker("inspect", "-f", "{{.Id}}", NAME, check=False):
        docker("rm", "--force", NAME)
        removed.append(f"registry container {NAME}")
    about = '{{len .Containers}} {{index .Labels "infraforge"}}'
    if docker("network", "inspect", "-f", about, NETWORK, check=False) == "0 network":
        docker("network", "rm", NETWORK)
        removed.append(f"docker network {NETWORK}")
    folder = state.state_dir() / "registry"
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(f"files in {folder}")
    return removed


def _certificate(folder: Path, authority: pki.Authority) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    crt = folder / "tls.crt"
    names, ips = [NAME, "localhost"], ["127.0.0.1"]
    if crt.exists() and authority.vouches_for(crt.read_text(), names, ips):
        return
    pair = authority.issue(names, ips)
    pki.write_private(folder / "tls.key", pair.key_pem)
    pki.write_private(crt, pair.cert_pem)
    docker("rm", "--force", NAME, check=False)  # what runs still shows the old certificate


def _own(folder: Path) -> None:
    """Give the folder to the registry's user; as root only, else the user keeps it."""
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


def _answers(ca_file: Path) -> bool:
    context = ssl.create_default_context(cafile=str(ca_file))
    try:
        with (
            socket.create_connection(("127.0.0.1", PORT), timeout=2) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1"),
        ):
            return True
    except OSError:
        return False


_CONFIG = """\
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  tls:
    certificate: /etc/registry/tls.crt
    key: /etc/registry/tls.key
"""
