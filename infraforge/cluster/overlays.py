"""A component's manifests with overlays of its own over them, chosen by a profile.

An overlay is a kustomize component, `platform/components/NAME/overlays/OVERLAY`: kustomize refuses
a folder that lies within the one it builds on, but takes a component from there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from infraforge.cluster import manifests
from infraforge.errors import UsageError

FOLDER = "overlays"
_FILE = "kustomization.yaml"


def names(folder: Path) -> list[str]:
    """The overlays that a component's folder has."""
    return sorted(path.parent.name for path in folder.glob(f"{FOLDER}/*/{_FILE}"))


def chosen(folder: Path, overlays: Sequence[str]) -> list[Path]:
    """The folders of these overlays. Raises UsageError naming one that is not there."""
    known = names(folder)
    for name in overlays:
        if name not in known:
            there = ", ".join(known) or "none"
            raise UsageError(f"component {folder.name} has no overlay {name!r}; it has: {there}")
    return [folder / FOLDER / name for name in overlays]


def render(kubectl: Path, folder: Path, overlays: Sequence[str] = ()) -> list[manifests.Object]:
    """The objects of the folder with the overlays over them in this order, workloads last.

    Raises UsageError for an overlay that is not there, or with kustomize's own words.
    """
    over = chosen(folder, overlays)
    if not over:
        return manifests.render(kubectl, folder)
    with tempfile.TemporaryDirectory(prefix="infraforge-") as made:
        top = Path(made).resolve()

        def from_there(path: Path) -> str:
            return os.path.relpath(path.resolve(), top)

        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [from_there(folder)],
            "components": [from_there(path) for path in over],
        }
        (top / _FILE).write_text(yaml.safe_dump(content))
        try:
            return manifests.render(kubectl, top)
        except UsageError as error:
            what = f"{folder} with {', '.join(overlays)} over it"
            raise UsageError(str(error).replace(str(top), what, 1)) from error
