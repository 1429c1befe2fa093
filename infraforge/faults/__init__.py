"""Faults: deliberate failures of the platform, and the nemesis that injects them.

nemesis.inject(faults.Pause("redis-cache"))
"""

from __future__ import annotations

from collections.abc import Mapping

from infraforge.faults.base import Undo
from infraforge.faults.cut import ApiAway, ApiFlaps, CutOff, From, Reconnect
from infraforge.faults.expire import CertificateExpired, GoodCertificate
from infraforge.faults.fill import Empty, Fill
from infraforge.faults.groups import Position, WholeGroup
from infraforge.faults.impostor import Impostor, Unmask
from infraforge.faults.kill import BackToStrength, KillContainer, KillPod
from infraforge.faults.load_left import LoadRemoved
from infraforge.faults.logins import LoginsEnd, RestoreLogins
from infraforge.faults.member import (
    CrashMember,
    FreezeMember,
    HoldMemberDown,
    KillMember,
    ResumeMember,
    Switchover,
    Uncordon,
)
from infraforge.faults.mislead import LeadBack, Mislead
from infraforge.faults.nodes import CutNodeOff, PauseNode, PlugIn, Unpause
from infraforge.faults.pause import Pause, Resume
from infraforge.faults.processes import Continue, FreezePatroni, KillPostmaster
from infraforge.faults.read_only import ReadOnly, Thaw
from infraforge.faults.renew import RenewCertificate
from infraforge.faults.restart import Restart, Started
from infraforge.faults.roles import AllStreaming, Role
from infraforge.faults.scale import Rescale, ScaledToNothing
from infraforge.faults.servers import (
    Away,
    CutServerOff,
    DeleteServer,
    FreezeServer,
    HoldServerDown,
    KillServer,
    PromoteAnother,
)
from infraforge.faults.together import Together, Unawaited, UndoAll
from infraforge.faults.tokens import SignedInAnew, TokensRevoked

__all__ = [
    "UNDOS",
    "AllStreaming",
    "ApiAway",
    "ApiFlaps",
    "Away",
    "BackToStrength",
    "CertificateExpired",
    "Continue",
    "CrashMember",
    "CutNodeOff",
    "CutOff",
    "CutServerOff",
    "DeleteServer",
    "Empty",
    "Fill",
    "FreezeMember",
    "FreezePatroni",
    "FreezeServer",
    "From",
    "GoodCertificate",
    "HoldMemberDown",
    "HoldServerDown",
    "Impostor",
    "KillContainer",
    "KillMember",
    "KillPod",
    "KillPostmaster",
    "KillServer",
    "LeadBack",
    "LoadRemoved",
    "LoginsEnd",
    "Mislead",
    "Pause",
    "PauseNode",
    "PlugIn",
    "Position",
    "PromoteAnother",
    "ReadOnly",
    "Reconnect",
    "RenewCertificate",
    "Rescale",
    "Restart",
    "RestoreLogins",
    "Resume",
    "ResumeMember",
    "Role",
    "ScaledToNothing",
    "SignedInAnew",
    "Started",
    "Switchover",
    "Thaw",
    "Together",
    "TokensRevoked",
    "Unawaited",
    "Uncordon",
    "UndoAll",
    "Unmask",
    "Unpause",
    "WholeGroup",
]

UNDOS: Mapping[str, type[Undo]] = {
    undo.kind: undo
    for undo in (
        AllStreaming,
        BackToStrength,
        Continue,
        Empty,
        GoodCertificate,
        LeadBack,
        LoadRemoved,
        PlugIn,
        Reconnect,
        RenewCertificate,
        Rescale,
        RestoreLogins,
        Resume,
        ResumeMember,
        SignedInAnew,
        Started,
        Thaw,
        Uncordon,
        UndoAll,
        Unmask,
        Unpause,
        WholeGroup,
    )
}
"""Every kind of undo that a journal may hold; `infraforge heal` can perform these."""
