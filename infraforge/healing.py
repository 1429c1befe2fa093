"""Nothing is judged on a platform that somebody left broken: it is healed first, or unknown.

What is open is in two journals: faults (`faults.journal`) and a sabotage. Whoever broke the
platform may still live and undo it. For a sabotage that is so while its process holds the platform
alone (`cluster.users`), and nobody else can begin then. A fault is undone before the test that
made it gives up its turn (`turns`); so whoever has a turn sees only what was left behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from infraforge import locks, stack
from infraforge.cluster import state, users
from infraforge.errors import ClusterError, Inconclusive, InfraForgeError, in_words
from infraforge.faults import nemesis
from infraforge.faults.journal import Entry, Journal
from infraforge.processes import Identity
from infraforge.sabotage import experiment
from infraforge.turns import turn

_given_up: set[str] = set()
"""Entries that this process could not undo; they are not tried again before each test."""


def before_run(name: str) -> list[str]:
    """Undo what runs that are over left on the platform `name`; what was undone, in words.

    One that does not answer is left as it is: stand it up, and ask again. Raises Inconclusive
    where it does not succeed: nothing can be said of the platform then.
    """
    found = Journal.of(name).read()
    dead = [entry for entry in found.entries if _left_behind(entry)]
    broken = not users.within(name) and experiment.in_journal(name)
    if not (broken or dead or found.unreadable) or not _answers(name):
        return []
    undone = experiment.heal(name) if broken else []
    return undone + _faults(name, _left_behind)


def before_run_aloud(name: str) -> None:
    """`before_run`, with a line on standard output for each that was undone."""
    for item in before_run(name):
        print(f"undone: {item}", flush=True)


def _answers(name: str) -> bool:
    try:
        return stack.is_up(name)
    except ClusterError:
        return False


def half_changed(name: str) -> str:
    """What is to be said of a CA whose replacement was begun and is not over; else ""."""
    if phase := stack.ca_phase(name):
        return (
            f"is being replaced, in phase {phase}; if nobody is at it, go on: "
            f"infraforge certificates renew --ca --name {name}"
        )
    return ""


def refuse_half_changed(name: str) -> None:
    """Raise Inconclusive where the CA's replacement was begun and is not over: what to do."""
    if words := half_changed(name):
        raise Inconclusive(f"the CA of {name!r} {words}")


def before_test(name: str) -> list[str]:
    """Undo all that is open, for a test that has its turn; what was undone, in words.

    Raises Inconclusive where that does not succeed.
    """
    found = Journal.of(name).read()
    stuck = [entry for entry in found.entries if entry.entry_id in _given_up]
    if stuck:
        told = "; ".join(f"{entry.fault} (by {entry.owner})" for entry in stuck)
        raise Inconclusive(f"a fault is open and could not be undone: {told}; infraforge heal")
    if not found.entries and not found.unreadable:
        return []
    try:
        return _faults(name, lambda _: True)
    except InfraForgeError:
        _given_up.update(entry.entry_id for entry in Journal.of(name).read().entries)
        raise


def everything(name: str) -> list[str]:
    """Undo a sabotage and all faults, for `infraforge heal`; what was undone, in words.

    Raises UsageError where the platform is somebody's own to break or to change now, Inconclusive
    where something cannot be undone, or is a fault of a test that is under way.
    """
    users.refuse_alone(name, "infraforge heal")
    with contextlib.closing(stack.attach(name).site):
        pass  # where none is up, that is what is told
    undone = experiment.heal(name)
    with contextlib.ExitStack() as held:
        held.enter_context(state.locked(name))
        try:
            held.enter_context(turn(state.locks_dir(), name, alone=True, wait=False))
        except locks.Busy:
            undone += _faults(name, _left_behind)
            if live := [e for e in Journal.of(name).read().entries if e.owner.lives]:
                told = "; ".join(f"{entry.fault} (by {entry.owner})" for entry in live)
                raise Inconclusive(
                    f"of a run that goes on, and undoes it itself: {told}; wait for it"
                ) from None
        else:
            undone += _faults(name, lambda _: True)
    return undone


def _left_behind(entry: Entry) -> bool:
    """Whether nobody is there who will undo it; what this process still has to do, it does now."""
    return not entry.owner.lives or entry.owner.process == Identity.own()


def _faults(name: str, which: Callable[[Entry], bool]) -> list[str]:
    journal = Journal.of(name)
    found = journal.read()
    if not found.unreadable and not any(which(entry) for entry in found.entries):
        return []
    with state.healing(name):
        try:
            platform = stack.attach(name)
        except InfraForgeError as error:
            raise Inconclusive(
                f"faults are open and nobody can be asked to undo them: {in_words(error)}"
            ) from error
        with contextlib.closing(platform.site) as site:
            undone = list(nemesis.heal(site, which=which))
            if undone:  # what is asked at once would meet the end of the fault
                platform.wait_open()
            return undone
