"""No verdict on a platform that somebody left broken: it is healed first, or the test is unknown.

Open breakage is in two journals: faults (`faults.journal`) and a sabotage. Its process may still
live and undo it. A sabotage's process holds the platform alone (`cluster.users`), so nobody else
can begin meanwhile. A fault is undone before its test gives up its turn (`turns`), so a test that
has a turn sees only what was left behind.
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
"""Entries that this process could not undo; it does not retry them before each test."""


def before_run(name: str) -> list[str]:
    """Undo what finished runs left on the platform `name`; what was undone, in words.

    A platform that does not answer is left as it is; stand it up first. Raises Inconclusive where
    the undo fails, because nothing can be said of the platform then.
    """
    contents = Journal.of(name).read()
    dead = [entry for entry in contents.entries if _left_behind(entry)]
    broken = not users.under(name) and experiment.in_journal(name)
    if not (broken or dead or contents.unreadable) or not _answers(name):
        return []
    undone = experiment.heal(name) if broken else []
    return undone + _faults(name, _left_behind)


def before_run_aloud(name: str) -> None:
    """`before_run`, with a line on standard output for each undo."""
    for item in before_run(name):
        print(f"undone: {item}", flush=True)


def _answers(name: str) -> bool:
    try:
        return stack.is_up(name)
    except ClusterError:
        return False


def half_changed(name: str) -> str:
    """What to say of a replacement of the CA that has begun and not ended; else ""."""
    if phase := stack.ca_phase(name):
        return (
            f"is being replaced, in phase {phase}; unless somebody is at it, resume it: "
            f"infraforge certificates renew --ca --name {name}"
        )
    return ""


def refuse_half_changed(name: str) -> None:
    """Raise Inconclusive, with what to do, while a replacement of the CA has not ended."""
    if words := half_changed(name):
        raise Inconclusive(f"the CA of {name!r} {words}")


def before_test(name: str) -> list[str]:
    """Undo everything open, for a test that has its turn; what was undone, in words.

    Raises Inconclusive where that fails.
    """
    contents = Journal.of(name).read()
    stuck = [entry for entry in contents.entries if entry.entry_id in _given_up]
    if stuck:
        told = "; ".join(f"{entry.fault} (by {entry.owner})" for entry in stuck)
        raise Inconclusive(f"a fault is open and could not be undone: {told}; run: infraforge heal")
    if not contents.entries and not contents.unreadable:
        return []
    try:
        return _faults(name, lambda _: True)
    except InfraForgeError:
        _given_up.update(entry.entry_id for entry in Journal.of(name).read().entries)
        raise


def everything(name: str) -> list[str]:
    """Undo a sabotage and all faults, for `infraforge heal`; what was undone, in words.

    Raises UsageError while another process holds the platform to break or change it, Inconclusive
    where something cannot be undone, or is a fault of a running test.
    """
    users.refuse_alone(name, "infraforge heal")
    with contextlib.closing(stack.attach(name).site):
        pass  # raises where no platform is up
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
                    f"faults of a running test, which undoes them itself: {told}; wait for it"
                ) from None
        else:
            undone += _faults(name, lambda _: True)
    return undone


def _left_behind(entry: Entry) -> bool:
    """Whether nobody else will undo it; entries of this process count, as it undoes them now."""
    return not entry.owner.lives or entry.owner.process == Identity.own()


def _faults(name: str, which: Callable[[Entry], bool]) -> list[str]:
    journal = Journal.of(name)
    contents = journal.read()
    if not contents.unreadable and not any(which(entry) for entry in contents.entries):
        return []
    with state.healing(name):
        try:
            platform = stack.attach(name)
        except InfraForgeError as error:
            raise Inconclusive(
                f"faults are open, and the platform does not answer: {in_words(error)}"
            ) from error
        with contextlib.closing(platform.site) as site:
            undone = list(nemesis.heal(site, which=which))
            if undone:  # an immediate request would still meet the end of the fault
                platform.wait_open()
            return undone
