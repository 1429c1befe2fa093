"""The certificate authorities: one for each platform, one for what this machine shares."""

from __future__ import annotations

from pathlib import Path

from infraforge.cluster import state
from infraforge.cluster.pki import Authority
from infraforge.cluster.rotation import Phase, Rotation
from infraforge.note import Note


def registry_authority() -> Authority:
    """The CA that vouches for what the clusters of this machine share."""
    return Authority.load_or_create(state.registry_ca_dir())


def authority(name: str) -> Authority:
    """The CA of the platform of this name; one that an older version stood up has the machine's."""
    folder, shared = ca_dir(name), state.registry_ca_dir()
    if not (folder / "ca.key").exists() and Note.read(name) and (shared / "ca.key").exists():
        return Authority.copy(shared, folder)
    return Authority.load_or_create(folder)


def ca_phase(name: str) -> Phase | None:
    """How far the change of this platform's CA has come; None where none was begun."""
    return Rotation(ca_dir(name)).phase


def ca_dir(name: str) -> Path:
    """The folder of this platform's CA."""
    return state.cluster_dir(name) / "ca"
