"""Faults: deliberate failures of the platform, and the nemesis that injects them.

nemesis.inject(faults.Pause("redis-cache"))
"""

from __future__ import annotations

from collections.abc import Mapping

from infraforge.faults.base import Undo
from infraforge.faults.expire import CertificateExpired, GoodCertificate
from infraforge.faults.fill import Empty, Fill
from infraforge.faults.impostor import Impostor, Unmask
from infraforge.faults.kill import BackToStrength, KillContainer, KillPod
from infraforge.faults.logins import LoginsEnd, RestoreLogins
from infraforge.faults.pause import Pause, Resume
from infraforge.faults.read_only import ReadOnly, Thaw
from infraforge.faults.renew import RenewCertificate
from infraforge.faults.restart import Restart, Started
from infraforge.faults.scale import Rescale, ScaledToNothing
from infraforge.faults.tokens import SignedInAnew, TokensRevoked

__all__ = [
    "UNDOS",
    "BackToStrength",
    "CertificateExpired",
    "Empty",
    "Fill",
    "GoodCertificate",
    "Impostor",
    "KillContainer",
    "KillPod",
    "LoginsEnd",
    "Pause",
    "ReadOnly",
    "RenewCertificate",
    "Rescale",
    "Restart",
    "RestoreLogins",
    "Resume",
    "ScaledToNothing",
    "SignedInAnew",
    "Started",
    "Thaw",
    "TokensRevoked",
    "Unmask",
]

UNDOS: Mapping[str, type[Undo]] = {
    undo.kind: undo
    for undo in (
        BackToStrength,
        Empty,
        GoodCertificate,
        RenewCertificate,
        Rescale,
        RestoreLogins,
        Resume,
        SignedInAnew,
        Started,
        Thaw,
        Unmask,
    )
}
"""Every kind of undo that a journal may hold; `infraforge heal` can perform these."""
