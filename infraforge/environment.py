"""Describes this machine, what is missing on it, and which profile fits; changes nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infraforge import folders
from infraforge.cluster import state
from infraforge.errors import InfraForgeError, machine_fault
from infraforge.images import build, debian
from infraforge.images.cache import cache_dir
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile, sizes

TOOLS: Mapping[str, str] = {
    "docker": "docker.io",
    "debootstrap": "debootstrap",
    "skopeo": "skopeo",
    "go": "golang-go",
    "node": "nodejs",
    "npm": "npm",
    "patch": "patch",
    "chromium": "chromium",
    "certutil": "libnss3-tools",
}
"""Program → the Debian package that has it."""

BUILDING = ("debootstrap", "go")
"""Wanted only to build images: a machine that imports a bundle of them needs none of these."""

_REGISTRIES = ("ghcr.io", "docker.io", "quay.io", "registry.k8s.io")
_DOCKER = (23, 0)
_KERNEL = {
    # ability → prefix of the kernel symbols or modules that provide it
    "nf_tables": "nft_",
    "netem": "netem_",
    "ipvs": "ip_vs_",
    "ebpf": "bpf_prog_",
    "vxlan": "vxlan_",
}


@dataclass(frozen=True)
class Fit:
    """Whether a profile can be stood up here. lacks: the reasons against it, in words."""

    profile: str
    deployable: bool
    lacks: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.deployable and not self.lacks


@dataclass(frozen=True)
class Machine:
    """One machine.

    memory_gib, free_gib: GiB in total and free; disk_gb: GB free where the caches are;
    docker: version of the daemon, "" where none answers (docker_trouble says why); root: how
    commands run as root, "" where they cannot; unwritable: folder of ours that cannot be written →
    why; missing: tool → command that installs it;
    registries: container registry → whether its name resolves and it answers on 443.
    """

    system: str
    kernel: str
    cores: int
    memory_gib: float
    free_gib: float
    disk_gb: float
    docker: str
    cgroup: str
    capabilities_missing: tuple[str, ...]
    abilities: Mapping[str, bool]
    registries: Mapping[str, bool]
    missing: Mapping[str, str]
    docker_trouble: str = ""
    root: str = "root"
    unwritable: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """The machine's facts for a report."""
        return {
            "host": f"{self.system}, kernel {self.kernel}",
            "cores": str(self.cores),
            "memory GiB": f"{self.memory_gib:.1f}",
            "docker": self.docker,
            "cgroup": self.cgroup,
        }

    def fit(self, profile: Profile, *, takes_root: bool = False) -> Fit:
        """Whether the profile can be stood up here. takes_root: base images must be made."""
        wanted, lacks = profile.machine, []
        if self.memory_gib < wanted.memory_gib:
            lacks.append(f"{self.memory_gib:.1f} GiB of memory, {wanted.memory_gib:g} are needed")
        if self.cores < wanted.cores:
            lacks.append(f"{self.cores} cores, {wanted.cores} are needed")
        if self.disk_gb < wanted.disk_gb:
            lacks.append(f"{self.disk_gb:.0f} GB of disk free, {wanted.disk_gb:g} are needed")
        lacks += [f"{folder}: {why}" for folder, why in self.unwritable.items()]
        if takes_root and not self.root:
            lacks.append(debian.NO_ROOT)
        if not self.docker:
            lacks.append(self.docker_trouble or f"no Docker daemon answers ({_remedy('docker')})")
        elif _version(self.docker) < _DOCKER:
            lacks.append(f"Docker {self.docker} is too old, {_DOCKER[0]} is needed")
        return Fit(profile.name, profile.deployable, tuple(lacks))


def look() -> Machine:
    """Examine this machine. Takes a few seconds where registries do not answer."""
    memory = _meminfo()
    docker, trouble = _docker()
    before = debian.as_root()
    return Machine(
        system=_system(),
        kernel=os.uname().release,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=memory["MemTotal"],
        free_gib=memory["MemAvailable"],
        disk_gb=_free_gb(cache_dir()),
        docker=docker,
        docker_trouble=trouble,
        root="" if before is None else "sudo" if before else "root",
        unwritable=_unwritable(cache_dir(), state.state_dir()),
        cgroup="v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
        capabilities_missing=_capabilities_missing(),
        abilities=_abilities(),
        registries={host: _reached(host) for host in _REGISTRIES},
        missing={tool: _remedy(tool) for tool in TOOLS if not _found(tool)},
    )


def fits(machine: Machine, tree: Path) -> list[Fit]:
    """How each profile that is a size fits, smallest first."""
    takes_root = _takes_root(machine, tree)
    return [machine.fit(Profile.load(name, tree), takes_root=takes_root) for name in sizes(tree)]


def best(candidates: Sequence[Fit]) -> str:
    """The largest profile that fits; "" for none."""
    return next((fit.profile for fit in reversed(candidates) if fit.fits), "")


def _system() -> str:
    text = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return name[1] if name else sys.platform


def _meminfo() -> dict[str, float]:
    """/proc/meminfo: name → GiB."""
    sizes_gib = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        sizes_gib[name] = int(rest.split()[0]) / 2**20
    return sizes_gib


def _free_gb(folder: Path) -> float:
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def _unwritable(*folders: Path) -> dict[str, str]:
    reasons = {}
    for folder in folders:
        there = folder
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            reasons[str(folder)] = f"{there} is not a folder"
        elif not os.access(there, os.W_OK | os.X_OK):
            reasons[str(folder)] = f"{there} cannot be written by this user"
    return reasons


def _takes_root(machine: Machine, tree: Path) -> bool:
    """Whether base images are still to be made here, which needs root."""
    if machine.root:
        return False  # there is a way to become root: no need to check
    catalogue = Catalogue.load(tree)
    bases = [image.name for image in catalogue.images.values() if image.debootstrap]
    try:
        return bool(build.missing(bases, catalogue))
    except (InfraForgeError, OSError):
        return True  # unknown, so assume that they are missing


def _docker() -> tuple[str, str]:
    """The daemon's version and ""; or "" and the reason why it is unknown."""
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return "", f"docker is missing ({_remedy('docker')} installs it)"
    except subprocess.TimeoutExpired:
        return "", "the Docker daemon did not answer within 20 s"
    if done.returncode != 0:
        return "", machine_fault(done.stderr) or f"no Docker daemon answers ({_remedy('docker')})"
    return done.stdout.strip(), ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _capabilities_missing() -> tuple[str, ...]:
    """Capabilities outside this process' bounding set (capabilities(7)), by number or name."""
    status = Path("/proc/self/status").read_text()
    bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    held = int(bounding[1], 16) if bounding else 0
    known = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 24: "CAP_SYS_RESOURCE"}
    return tuple(known.get(n, f"CAP_{n}") for n in range(last + 1) if not held >> n & 1)


def _abilities() -> dict[str, bool]:
    """The running kernel's abilities, by the symbols it has or the modules it could load."""
    symbols = Path("/proc/kallsyms").read_text(errors="replace")
    modules = Path("/lib/modules") / os.uname().release / "modules.dep"
    loadable = modules.read_text() if modules.exists() else ""
    return {
        name: f" {prefix}" in symbols or f"{name}." in loadable for name, prefix in _KERNEL.items()
    }


def _reached(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=2):
            return True
    except OSError:
        return False


def _remedy(tool: str) -> str:
    """The command that gets it. A wheel has no `bootstrap`."""
    return f"apt-get install {TOOLS[tool]}" if folders.installed() else "./bootstrap true"


def _found(tool: str) -> bool:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def as_json(machine: Machine, candidates: Sequence[Fit]) -> str:
    """All findings as JSON, for programs."""
    data = {
        **{name: getattr(machine, name) for name in Machine.__dataclass_fields__},
        "profiles": [
            {"name": f.profile, "fits": f.fits, "deployable": f.deployable, "lacks": f.lacks}
            for f in candidates
        ],
        "profile": best(candidates),
    }
    return json.dumps(data, indent=1)
