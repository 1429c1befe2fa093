"""What this machine remembers of a platform that is up: `stack.json` among its cluster's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infraforge.cluster import state
from infraforge.cluster.pki import write_private
from infraforge.errors import UsageError
from infraforge.profile import Ports


@dataclass(frozen=True)
class Brought:
    """What is known of a cluster that the user brought. uid: it was agreed to change this one.

    by_hand: its manifests are applied by the user.
    """

    uid: str
    context: str
    server: str
    by_hand: bool = False


@dataclass(frozen=True)
class Note:
    """One platform.

    origin: its front door; digests: canonical reference → `sha256:…`; moved: see
    `components.rollout.Images`; keep: it stays when a test run that finds it is over;
    brought: None for a cluster of our own.
    """

    profile: str
    ports: Ports
    origin: str
    digests: Mapping[str, str]
    timings: Mapping[str, float]
    keep: bool
    moved: Mapping[str, str] = field(default_factory=dict)
    brought: Brought | None = None

    @classmethod
    def read(cls, name: str) -> Note | None:
        """What is known of the platform of this name; None where there is none.

        Raises UsageError for a note that is damaged.
        """
        path = _path(name)
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found["ports"] = Ports(**found["ports"])
            found["brought"] = Brought(**found["brought"]) if found.get("brought") else None
            found.setdefault("origin", "")  # an older version's: on the profile's port
            return cls(**found)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path} is damaged ({error}): whether {name!r} is a cluster that you brought "
                f"cannot be told from it. If it is none: mv {path} {path}.damaged, then "
                f"infraforge down --name {name}"
            ) from error

    def write(self, name: str) -> None:
        write_private(_path(name), json.dumps(dataclasses.asdict(self), indent=1))


def _path(name: str) -> Path:
    return state.cluster_dir(name) / "stack.json"
