"""The one tree of errors.

InfraForgeError                what went wrong in words, with what to do
├── UsageError                 exit 64: the call, a file or the machine is not as required
└── Inconclusive               exit 2: nothing can be said of the platform
    ├── TimedOut               a fact did not come true within its budget; has the last thing seen
    ├── Hopeless               a wait met a state from which its fact cannot come true
    ├── NotReady               a component did not get ready; has the cluster's reasons
    └── ClusterError           the cluster or its tools refused or failed
        └── Unable             this kind of cluster cannot do it: the test is skipped, and says so

Broken(AssertionError)         exit 1: the platform broke a promise
└── Late                       … about time, and nothing else; unknown on a starved machine
"""

from __future__ import annotations

from collections.abc import Sequence


class InfraForgeError(Exception):
    """Root of the project's errors; the user can act on its text."""

    exit_code = 2


class UsageError(InfraForgeError):
    """Bad input, or a machine that cannot do it; says what to do. Exit 64."""

    exit_code = 64


class Inconclusive(InfraForgeError):
    """Neither holds nor broken. Exit 2, *broken* in Allure."""


class TimedOut(Inconclusive):
    """A fact did not come true within its budget.

    waited: start and end of the wait, in seconds of the monotonic clock.
    """

    def __init__(self, text: str, waited: tuple[float, float] | None = None) -> None:
        super().__init__(text)
        self.waited = waited


class Hopeless(Inconclusive):
    """The wait for a fact was given up: it cannot come true from the state that was seen."""


class ClusterError(Inconclusive):
    """The cluster, or a tool that works on it, refused or failed."""


class Unable(ClusterError):
    """A cluster of this kind can never do what is asked; says which ability is missing."""


_MACHINE = (
    ("cannot connect to the docker daemon", "no Docker daemon answers; start it: ./bootstrap true"),
    ("is the docker daemon running", "no Docker daemon answers; start it: ./bootstrap true"),
    (
        "permission denied while trying to connect to the docker",
        "this user may not use Docker; to join the group docker, run: ./bootstrap true",
    ),
    ("is it installed?", "a program is missing; install it with: ./bootstrap true"),
    ("no space left on device", "the disk is full; free some"),
    ("disk quota exceeded", "the disk quota is used up; free some"),
    ("read-only file system", "a file system is read-only; see: mount"),
)


def machine_fault(said: str) -> str:
    """What a program's output says is wrong with the machine, and what to do; "" if nothing."""
    lowered = said.lower()
    return next((words for sign, words in _MACHINE if sign in lowered), "")


class NotReady(Inconclusive):
    """A component did not get ready within its budget."""

    def __init__(
        self, component: str, reason: str, events: Sequence[str] = (), logs: Sequence[str] = ()
    ) -> None:
        self.component = component
        self.reason = reason
        self.events = tuple(events)
        self.logs = tuple(logs)
        parts = [f"{component} did not get ready: {reason}"]
        parts += [f"  event: {line}" for line in events]
        parts += [f"  log: {line}" for line in logs]
        super().__init__("\n".join(parts))


class Broken(AssertionError):
    """The platform broke a promise. Exit 1, *failed* in Allure."""


class Late(Broken):
    """A promise about time was not kept. Where the machine was starved meanwhile, it is unknown.

    waited: as in TimedOut.
    """

    def __init__(self, text: str, waited: tuple[float, float] | None = None) -> None:
        super().__init__(text)
        self.waited = waited


def in_words(error: BaseException) -> str:
    """An error in one line; one that is not the project's own with its type."""
    said = " ".join(str(error).split())
    if isinstance(error, InfraForgeError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
