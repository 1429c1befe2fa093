"""The one tree of errors.

InfraForgeError                what went wrong in words, with what to do
├── UsageError                 exit 64: the call, a file or the machine is not as it must be
└── Inconclusive               exit 2: nothing can be said of the platform
    ├── TimedOut               a fact did not come within its budget; carries the last thing seen
    ├── Hopeless               a wait met a state from which its fact cannot come
    ├── NotReady               a component did not get ready; carries the cluster's reasons
    └── ClusterError           the cluster or its tools did not do what was asked
        └── Unable             this kind of cluster cannot: the test is skipped, and says so

Broken(AssertionError)         exit 1: the platform broke a promise
└── Late                       … one about time, and nothing else; unknown on a starved machine
"""

from __future__ import annotations

from collections.abc import Sequence


class InfraForgeError(Exception):
    """Root of the project's errors; its text is one the user can act on."""

    exit_code = 2


class UsageError(InfraForgeError):
    """Bad input or a machine that cannot do it: says what and what to do. Exit 64."""

    exit_code = 64


class Inconclusive(InfraForgeError):
    """Nothing can be said: neither holds nor broken. Exit 2, *broken* in Allure."""


class TimedOut(Inconclusive):
    """A fact did not come true within its budget.

    waited: from when to when that was waited for, in seconds of the monotonic clock.
    """

    def __init__(self, text: str, waited: tuple[float, float] | None = None) -> None:
        super().__init__(text)
        self.waited = waited


class Hopeless(Inconclusive):
    """A fact was not waited for any longer: it cannot come from the state that was seen."""


class ClusterError(Inconclusive):
    """The cluster, or a tool that works on it, refused or failed."""


class Unable(ClusterError):
    """A cluster of this kind cannot do what is asked, ever: says which ability is missing."""


_MACHINE = (
    ("cannot connect to the docker daemon", "no Docker daemon answers; start it: ./bootstrap true"),
    ("is the docker daemon running", "no Docker daemon answers; start it: ./bootstrap true"),
    (
        "permission denied while trying to connect to the docker",
        "this user may not use Docker; ./bootstrap sees to that (group docker)",
    ),
    ("is it installed?", "a program is missing; get it by: ./bootstrap true"),
    ("no space left on device", "the disk is full; free some"),
    ("disk quota exceeded", "the disk quota is used up; free some"),
    ("read-only file system", "a file system is read-only"),
)


def machine_fault(said: str) -> str:
    """What is wrong with the machine, and what to do, by the words of a program; "" if nothing."""
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
    """A promise was not kept in time. Where the machine was starved meanwhile, nothing is known.

    waited: as in TimedOut.
    """

    def __init__(self, text: str, waited: tuple[float, float] | None = None) -> None:
        super().__init__(text)
        self.waited = waited


def in_words(error: BaseException) -> str:
    """What an error says, in one line; one that is not the project's own with its type."""
    said = " ".join(str(error).split())
    if isinstance(error, InfraForgeError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
