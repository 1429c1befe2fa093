"""A component shows a certificate that it should not: it is made anew."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge import stack
from infraforge.components.site import Site


@dataclass(frozen=True)
class RenewCertificate:
    """Have the platform's present CA issue the component's certificate; all its pods show it."""

    kind: ClassVar[str] = "renew-certificate"
    component: str

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"component": self.component}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> RenewCertificate:
        return cls(parameters["component"])

    def perform(self, site: Site) -> None:
        platform = stack.attach(site.cluster.name)  # the CA may be another one by now
        with contextlib.closing(platform.site):
            platform.renew([self.component])
