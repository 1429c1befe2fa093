"""What Patroni and PostgreSQL say about a cluster of several members, and what Patroni is asked.

Patroni's API: https://patroni.readthedocs.io/en/latest/rest_api.html (4.0.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import requests

from infraforge.cluster import overlays
from infraforge.components import rules
from infraforge.errors import ClusterError
from infraforge.profile import Profile

STREAMS: LiteralString = (
    "SELECT application_name, sync_state FROM pg_stat_replication "
    "WHERE state = 'streaming' AND application_name LIKE 'postgres-%' ORDER BY 1"
)
"""At the primary: who streams from it. Patroni gives standbys their pod's name."""
SYNC = ("postgres-sync", "sync_standby")
"""Where Patroni keeps whom it would promote: a ConfigMap, and its annotation."""
_SECONDS = 30
"""A switchover is answered once it is over."""
_SYNCHRONOUS = ("sync", "quorum")


@dataclass(frozen=True)
class Members:
    """The members by what they are now. Names are pods' names; lists are in alphabetical order.

    synchronous: standbys that commits wait for, as PostgreSQL says; asynchronous: the others that
    stream; promotable: standbys that Patroni would promote. For some two seconds after commits have
    begun to wait for another standby nobody is promotable: a primary that dies then is waited for.
    """

    primary: str
    synchronous: tuple[str, ...]
    asynchronous: tuple[str, ...]
    promotable: tuple[str, ...]

    @classmethod
    def seen(cls, primary: str, rows: Iterable[Sequence[Any]], promotable: str) -> Members:
        """Of the rows that STREAMS gives, and names with commas between them (see SYNC)."""
        found = sorted((str(name), str(state)) for name, state in rows)
        return cls(
            primary,
            tuple(name for name, state in found if state in _SYNCHRONOUS),
            tuple(name for name, state in found if state not in _SYNCHRONOUS),
            tuple(sorted(filter(None, promotable.split(",")))),
        )

    def whole(self, members: int) -> bool:
        """Whether all of so many members are there, and commits wait for who would be promoted."""
        waited_for = bool(self.synchronous) and self.synchronous == self.promotable
        return waited_for and 1 + len(self.streaming) == members

    @property
    def streaming(self) -> tuple[str, ...]:
        return tuple(sorted((*self.synchronous, *self.asynchronous)))


def settings(profile: Profile, folder: Path) -> Mapping[str, Any]:
    """Patroni's settings as this profile's members read them. folder: `components/postgres`."""
    chosen = profile.components["postgres"].get("overlays", ())
    return rules.patroni([folder, *overlays.chosen(folder, chosen)])


def likeliest_first(pods: Iterable[Any]) -> list[str]:
    """The names of the pods that run, those first that Patroni has labelled as primary.

    The label is where to look first, and no more: a member that was cut off keeps it.
    """
    running = [pod for pod in pods if pod.status.phase == "Running"]
    labelled = [pod for pod in running if (pod.metadata.labels or {}).get("role") == "primary"]
    ordered = [*labelled, *(pod for pod in running if pod not in labelled)]
    return [str(pod.metadata.name) for pod in ordered]


def ask(
    port: int, ca_file: Path, password: str, question: tuple[str, str], body: Any = None
) -> str:
    """The answer's text of Patroni behind a local port. Raises ClusterError where it says no.

    question: the HTTP method, and the path without its first slash.
    """
    method, path = question
    try:
        answer = requests.request(
            method,
            f"https://localhost:{port}/{path}",
            auth=("patroni", password),
            json=body,
            verify=str(ca_file),
            timeout=_SECONDS,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        said = getattr(error.response, "text", "") if error.response is not None else ""
        told = f"{error} {said}".strip()
        raise ClusterError(f"Patroni refused {method} /{path}: {told}") from error
    return answer.text
