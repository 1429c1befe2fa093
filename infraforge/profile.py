"""Profiles: what is deployed, on which topology, within which budgets, and which tests must run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from infraforge import reading
from infraforge.errors import UsageError

LOCK = "required.lock"
"""Beside the profiles: which tests there are, and which components each needs."""


@dataclass(frozen=True)
class Topology:
    """The nodes: one control plane, `workers` more, spread over `zones` in turn.

    dns: CoreDNS as `kubeadm` sets it up, or on `every-node`, where pods ask their own node's.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    DNS: ClassVar[tuple[str, ...]] = ("kubeadm", "every-node")

    workers: int = 0
    zones: tuple[str, ...] = ()
    dns: str = "kubeadm"


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1 where the front door is published."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    https: int = 8443
    http: int = 8080

    @classmethod
    def chosen(cls, default: Ports, environ: Mapping[str, str]) -> Ports:
        """The profile's, unless INFRAFORGE_HTTPS_PORT or INFRAFORGE_HTTP_PORT say otherwise."""
        values = {}
        for name in ("https", "http"):
            text = environ.get(f"INFRAFORGE_{name.upper()}_PORT")
            if text and not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536):
                raise UsageError(
                    f"INFRAFORGE_{name.upper()}_PORT={text!r} is no port; one is 1 to 65535"
                )
            values[name] = int(text) if text else getattr(default, name)
        if values["https"] == values["http"]:
            raise UsageError(
                f"{values['https']} cannot be both ports of the front door; choose others by "
                f"INFRAFORGE_HTTPS_PORT and INFRAFORGE_HTTP_PORT"
            )
        return cls(**values)


@dataclass(frozen=True)
class Budgets:
    """Seconds a thing may take; never scaled: a slow machine is told, not excused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    cluster: float = 300.0
    component: float = 180.0
    rejoin: float = 60.0


@dataclass(frozen=True)
class Machine:
    """What the profile wants of a machine: GiB of memory, cores, GB of free disk."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    memory_gib: float = 4.0
    cores: int = 2
    disk_gb: float = 10.0


@dataclass(frozen=True)
class Identity:
    """Where people are kept and passwords checked. method: the auth method of Vault that asks."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    METHODS: ClassVar[tuple[str, ...]] = ("userpass", "ldap")

    method: str = "userpass"


@dataclass(frozen=True)
class Shape:
    """What of a profile a platform is made of: nodes, components, where people are kept."""

    cluster: Topology
    components: Mapping[str, Mapping[str, Any]]
    identity: Identity

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shape:
        """What `dataclasses.asdict` made. Raises TypeError or LookupError for anything else."""
        told = data["cluster"]
        # an older version's says nothing of it
        cluster = Topology(told["workers"], tuple(told["zones"]), told.get("dns", "kubeadm"))
        components = {str(name): dict(settings) for name, settings in data["components"].items()}
        return cls(cluster, components, Identity(**data["identity"]))


@dataclass(frozen=True)
class Profile:
    """One file of `platform/profiles/`.

    components: name → settings (`replicas`; `overlays`: names of folders in its `overlays/`, put
    over its manifests in this order); required: node ids of tests that must have run where
    their top folder was asked for: those of `required.lock` whose components the profile has, and
    those that its own `[tests] required` adds;
    deployable: False while this version lacks parts the profile asks for.

    A file may say that it `extends` another profile: then it has all that this one has, tests
    included, beside or in place of which stands what it says itself.
    """

    name: str
    description: str
    deployable: bool
    machine: Machine
    cluster: Topology
    ports: Ports
    budgets: Budgets
    components: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...] = field(default=())
    identity: Identity = field(default=Identity())

    @property
    def shape(self) -> Shape:
        """What a platform of this profile is made of."""
        return Shape(self.cluster, self.components, self.identity)

    def shaped(self, shape: Shape) -> Profile:
        """This profile, with its budgets and required tests, for a platform made otherwise."""
        return dataclasses.replace(self, **{f.name: getattr(shape, f.name) for f in fields(shape)})

    def owed(self, folders: Collection[str]) -> tuple[str, ...]:
        """Of the required tests, those in these top folders (`suites`, `chaos`)."""
        return tuple(node for node in self.required if node.partition("/")[0] in folders)

    @classmethod
    def load(cls, name: str, tree: Path) -> Profile:
        """Read `TREE/profiles/NAME.toml`.

        Raises UsageError for an unknown profile, a key it does not know, or a wrong type.
        """
        path = tree / "profiles" / f"{name}.toml"
        if path not in tree.glob("profiles/*.toml"):
            raise UsageError(f"there is no profile {name!r}; there are: {', '.join(names(tree))}")
        data = reading.toml(path)
        if "extends" in data:
            data = _extended(path, data, tree)
        file = reading.parsed(path, data, _File)
        components = {name: told.settings for name, told in file.components.items()}
        if file.deployable and not components:
            raise UsageError(f"{path}: components is empty: there is nothing to stand up")
        if file.identity.method not in Identity.METHODS:
            known = ", ".join(Identity.METHODS)
            raise UsageError(f"{path}: identity.method is {file.identity.method!r}; known: {known}")
        if file.cluster.dns not in Topology.DNS:
            known = ", ".join(Topology.DNS)
            raise UsageError(f"{path}: cluster.dns is {file.cluster.dns!r}; known: {known}")
        return cls(
            name=name,
            description=file.description,
            deployable=file.deployable,
            machine=file.machine,
            cluster=file.cluster,
            ports=file.ports,
            budgets=file.budgets,
            components=components,
            required=(*_required(tree, file.deployable, components), *file.tests.required),
            identity=file.identity,
        )


@dataclass(frozen=True)
class _Component:
    """What a profile says of one component."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    replicas: int | None = None
    overlays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.replicas is not None and self.replicas < 1:
            raise ValueError("replicas must be 1 or more")

    @property
    def settings(self) -> Mapping[str, Any]:
        told: dict[str, Any] = {} if self.replicas is None else {"replicas": self.replicas}
        return told | ({"overlays": list(self.overlays)} if self.overlays else {})


@dataclass(frozen=True)
class _Tests:
    """Tests that a profile requires beside those of `required.lock`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A profile's file, once what it extends is in it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    description: str = ""
    deployable: bool = True
    machine: Machine = field(default=Machine())
    cluster: Topology = field(default=Topology())
    ports: Ports = field(default=Ports())
    budgets: Budgets = field(default=Budgets())
    components: Mapping[str, _Component] = field(default_factory=dict)
    identity: Identity = field(default=Identity())
    tests: _Tests = field(default=_Tests())


def locked(tree: Path) -> dict[str, tuple[str, ...]]:
    """Test → the components it needs, from `TREE/profiles/required.lock`; see `required.py`."""
    path = tree / "profiles" / LOCK
    if not path.exists():
        return {}
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {line[0]: tuple(line[1:]) for line in lines if line and line[0] != "#"}


def _required(
    tree: Path, deployable: bool, components: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """The locked tests whose components this profile has; none while it cannot be stood up.

    A test may need a component as an overlay makes it: `COMPONENT/OVERLAY`.
    """
    if not deployable:
        return ()
    has = set(components)
    for component, settings in components.items():
        has |= {f"{component}/{overlay}" for overlay in settings.get("overlays", ())}
    return tuple(name for name, needs in locked(tree).items() if set(needs) <= has)


def names(tree: Path) -> list[str]:
    """The profiles there are, smallest machine first; a variant after what it is one of."""
    found = _files(tree)

    def key(name: str) -> tuple[float, bool, str]:
        of = name if "machine" in found[name] else str(found[name].get("extends", ""))
        machine = found.get(of, {}).get("machine", {})
        size = machine.get("memory_gib", 0) if isinstance(machine, dict) else 0
        return size if isinstance(size, int | float) else 0, of != name, name

    return sorted(found, key=key)


def sizes(tree: Path) -> list[str]:
    """Those that a machine chooses between; a variant is for whoever names it."""
    found = _files(tree)
    return [name for name in names(tree) if "machine" in found[name]]


def _files(tree: Path) -> dict[str, dict[str, Any]]:
    profiles = {path.stem: reading.toml(path) for path in tree.glob("profiles/*.toml")}
    if not profiles:
        raise UsageError(
            f"there are no profiles in {tree / 'profiles'}: this installation is not whole; "
            "install InfraForge anew from its wheel, or run it from a checkout"
        )
    return profiles


def _extended(
    path: Path, own: Mapping[str, Any], tree: Path, below: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Merge this profile's settings over those of the profile it extends, which may extend another.

    Required tests of both are kept. below: the profiles that led here. Raises UsageError where they
    go in a circle.
    """
    name = own["extends"]
    if not isinstance(name, str) or name not in names(tree):
        raise UsageError(f"{path}: extends {name!r}; there are: {', '.join(names(tree))}")
    if name in (path.stem, *below):
        raise UsageError(f"{path}: extends {name!r}, which extends this one in the end")
    base = reading.toml(tree / "profiles" / f"{name}.toml")
    if "extends" in base:
        base = _extended(tree / "profiles" / f"{name}.toml", base, tree, (path.stem, *below))
    merged = {key: value for key, value in own.items() if key != "extends"}
    for key, under in base.items():
        above = merged.get(key, {})
        if isinstance(under, dict) and isinstance(above, dict):
            merged[key] = {**under, **above}
    required: list[str] = []
    for part in (base, own):
        tests = reading.parsed(path, {"tests": part.get("tests", {})}, _OnlyTests).tests
        required += tests.required
    merged["tests"] = {"required": required}
    return merged


@dataclass(frozen=True)
class _OnlyTests:
    tests: _Tests
