"""What a load in the cluster leaves behind is taken away like a fault, also after a kill -9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge.components.site import Site
from infraforge.workloads.postgresql import remote


@dataclass(frozen=True)
class LoadRemoved:
    """No pod, no table and no user of a load is left."""

    kind: ClassVar[str] = "load-removed"

    @property
    def parameters(self) -> Mapping[str, str]:
        return {}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> LoadRemoved:
        return cls()

    def perform(self, site: Site) -> None:
        remote.remove_traces(site)
