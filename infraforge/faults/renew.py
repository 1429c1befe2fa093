"""Undo for a certificate that a component should not show: a new one is issued."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge import stack
from infraforge.components.site import Site


@dataclass(frozen=True)
class RenewCertificate:
    """Issue the component's certificate by the platform's present CA, and have all pods show it."""

    kind: ClassVar[str] = "renew-certificate"
    component: str

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"component": self.component}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> RenewCertificate:
        return cls(parameters["component"])

    def perform(self, site: Site) -> None:
        platform = stack.attach(site.cluster.name)  # the CA may have been replaced by now
        with contextlib.closing(platform.site):
            platform.renew([self.component])
