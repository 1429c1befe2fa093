"""This machine's note of a platform that is up: `stack.json` among its cluster's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infraforge.cluster import state
from infraforge.cluster.pki import write_private
from infraforge.errors import ClusterError
from infraforge.profile import Ports, Shape


@dataclass(frozen=True)
class Brought:
    """A cluster that the user brought. uid: of the cluster that the user agreed to.

    by_hand: the user applies the manifests.
    """

    uid: str
    context: str
    server: str
    by_hand: bool = False


@dataclass(frozen=True)
class Note:
    """One platform.

    origin: its front door; digests: canonical reference → `sha256:…`; moved: see
    `components.rendered.Images`; keep: it stays when a test run that finds it is over;
    brought: None for a cluster of our own; shape: what was stood up, None where an older version
    did not note it.
    """

    profile: str
    ports: Ports
    origin: str
    digests: Mapping[str, str]
    timings: Mapping[str, float]
    keep: bool
    moved: Mapping[str, str] = field(default_factory=dict)
    brought: Brought | None = None
    shape: Shape | None = None

    @classmethod
    def read(cls, name: str) -> Note | None:
        """The note of the platform with this name; None where there is none.

        Raises ClusterError for a note that exists and cannot be read, which is not "none".
        """
        path = _path(name)
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            found["ports"] = Ports(**found["ports"])
            found["brought"] = Brought(**found["brought"]) if found.get("brought") else None
            found["shape"] = Shape.from_json(found["shape"]) if found.get("shape") else None
            found.setdefault("origin", "")  # an older version's: on the profile's port
            return cls(**found)
        except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            raise ClusterError(
                f"{path} describes platform {name!r}, and cannot be read ({error}); nothing was "
                f"touched. To give the platform up, remove that file, then: "
                f"infraforge down --name {name}"
            ) from error

    def write(self, name: str) -> None:
        write_private(_path(name), json.dumps(dataclasses.asdict(self), indent=1))


def _path(name: str) -> Path:
    return state.cluster_dir(name) / "stack.json"
