"""Whether PostgreSQL is gone for everybody, found out where connecting to it says nothing.

That this process gets no answer may be its own trouble, and so may a refusal by the Service, which
says no more than that no pod counts as ready: others may still hold connections, and write. But
where the cluster has no pod of PostgreSQL, or every one of them refuses connections at its own
address, nobody has a session: those of a postmaster that was killed end before they take another
command. A pod that does not answer at all may yet: that proves nothing. Neither does the word of a
server that is shutting down: its sessions may work on.

A pod that is deleted by force counts as gone although its processes may live on for some seconds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from infraforge_backend.epoch import EpochKnowledge

SUSPICIOUS = 0.8
"""Seconds of silence after which is asked: before what is known of the epoch runs out."""
_WAIT = 0.5


class AbsencePulse:
    """While PostgreSQL is silent, looks for a proof that it is gone.

    silent_for: seconds since PostgreSQL last answered; addresses: those of its pods as of now, ""
    for a pod without, None where nobody says; refuses: whether that address takes no connection.
    """

    def __init__(
        self,
        knowledge: EpochKnowledge,
        silent_for: Callable[[], float],
        addresses: Callable[[], Sequence[str] | None],
        refuses: Callable[[str], bool],
    ) -> None:
        self._knowledge = knowledge
        self._silent_for = silent_for
        self._addresses = addresses
        self._refuses = refuses

    def beat(self) -> None:
        if self._silent_for() < SUSPICIOUS:
            return
        asked_at = self._knowledge.now()
        found = self._addresses()
        if found is not None and all(address and self._refuses(address) for address in found):
            self._knowledge.refused(asked_at)


def refuses(address: str, port: int) -> bool:
    """Whether the host is there and nothing listens on the port. Silence is no refusal."""
    try:
        with socket.create_connection((address, port), timeout=_WAIT):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
