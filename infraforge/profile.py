"""Profiles: what is deployed, on which topology, within which budgets, and which tests must run."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from infraforge.errors import UsageError


@dataclass(frozen=True)
class Topology:
    """The nodes: one control plane, `workers` more, spread over `zones` in turn."""

    workers: int = 0
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1 where the front door is published."""

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

    cluster: float = 300.0
    component: float = 180.0
    rejoin: float = 60.0


@dataclass(frozen=True)
class Machine:
    """What the profile wants of a machine: GiB of memory, cores, GB of free disk."""

    memory_gib: float = 4.0
    cores: int = 2
    disk_gb: float = 10.0


@dataclass(frozen=True)
class Identity:
    """Where people are kept and passwords checked. method: the auth method of Vault that asks."""

    METHODS: ClassVar[tuple[str, ...]] = ("userpass", "ldap")

    method: str = "userpass"


@dataclass(frozen=True)
class Profile:
    """One file of `platform/profiles/`.

    components: name → settings (`replicas`); required: node ids of tests that must have run where
    what is in their top folder was asked for;
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
        data = _read(path)
        if "extends" in data:
            data = _extended(path, data, tree)
        _only(
            path,
            "",
            data,
            {
                "description",
                "deployable",
                "machine",
                "cluster",
                "ports",
                "budgets",
                "components",
                "identity",
                "tests",
            },
        )
        _only(path, "tests", data.get("tests", {}), {"required"})
        components = data.get("components", {})
        if not isinstance(components, dict):
            raise UsageError(f"{path}: components must be a table")
        for component, settings in components.items():
            _only(path, f"components.{component}", settings, {"replicas"})
            replicas = settings.get("replicas", 1)
            if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
                raise UsageError(f"{path}: components.{component}.replicas must be 1 or more")
        required = data.get("tests", {}).get("required", [])
        if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
            raise UsageError(f"{path}: tests.required must be a list of node ids")
        if not isinstance(data.get("deployable", True), bool):
            raise UsageError(f"{path}: deployable must be true or false")
        if data.get("deployable", True) and not components:
            raise UsageError(f"{path}: components is empty: there is nothing to stand up")
        identity = _table(path, "identity", data, Identity)
        if identity.method not in Identity.METHODS:
            known = ", ".join(Identity.METHODS)
            raise UsageError(f"{path}: identity.method is {identity.method!r}; known: {known}")
        return cls(
            name=name,
            description=str(data.get("description", "")),
            deployable=data.get("deployable", True),
            machine=_table(path, "machine", data, Machine),
            cluster=_table(path, "cluster", data, Topology),
            ports=_table(path, "ports", data, Ports),
            budgets=_table(path, "budgets", data, Budgets),
            components=components,
            required=tuple(required),
            identity=identity,
        )


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
    found = {path.stem: _read(path) for path in tree.glob("profiles/*.toml")}
    if not found:
        raise UsageError(
            f"there are no profiles in {tree / 'profiles'}: this installation is not whole; "
            "install InfraForge anew from its wheel, or run it from a checkout"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _extended(path: Path, own: Mapping[str, Any], tree: Path) -> dict[str, Any]:
    """What `own` says on top of what the profile says that it extends; that one extends none."""
    name = own["extends"]
    if not isinstance(name, str) or name not in names(tree):
        raise UsageError(f"{path}: extends {name!r}; there are: {', '.join(names(tree))}")
    base = _read(tree / "profiles" / f"{name}.toml")
    if "extends" in base:
        raise UsageError(f"{path}: extends {name!r}, which extends another one itself")
    merged = {key: value for key, value in own.items() if key != "extends"}
    for key, below in base.items():
        above = merged.get(key, {})
        if isinstance(below, dict) and isinstance(above, dict):
            merged[key] = {**below, **above}
    for part in (base, own):
        _only(path, "tests", part.get("tests", {}), {"required"})
    if any(not isinstance(part.get("tests", {}).get("required", []), list) for part in (base, own)):
        raise UsageError(f"{path}: tests.required must be a list of node ids")
    both = [part.get("tests", {}).get("required", []) for part in (base, own)]
    merged["tests"] = {"required": [*both[0], *both[1]]}
    return merged


def _only(path: Path, where: str, table: Any, known: set[str]) -> None:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {where} must be a table")
    for key in table:
        if key not in known:
            place = f"{where}.{key}" if where else key
            raise UsageError(f"{path}: unknown key {place!r}; known: {', '.join(sorted(known))}")


def _table(path: Path, where: str, data: Mapping[str, Any], kind: type[Any]) -> Any:
    table = data.get(where, {})
    fields = {item.name: item for item in dataclasses.fields(kind)}
    _only(path, where, table, set(fields))
    values = {}
    for key, value in table.items():
        default = fields[key].default
        wanted = (int, float) if isinstance(default, float) else type(default)
        given = tuple(value) if isinstance(value, list) else value
        if not isinstance(given, wanted) or isinstance(given, bool):
            raise UsageError(
                f"{path}: {where}.{key} is {value!r}; a {type(default).__name__} is wanted"
            )
        values[key] = given
    return kind(**values)
