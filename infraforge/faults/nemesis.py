"""The nemesis injects faults, proves their effect, and undoes every one of them.

It writes the undo to disk, strikes, and waits for the witness; it undoes in reverse order. If its
process dies on the way, the journal remains, and `heal` in any other process finishes the work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

from infraforge import faults
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive, in_words
from infraforge.faults.base import Aimed, Fault, Undo
from infraforge.faults.journal import Entry, Journal
from infraforge.history import HEAL, NEMESIS, History
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until

_PROVEN_WITHIN = seconds(30)


class JournalDamaged(UserWarning):
    """A line of the undo journal is not an entry; a process that dies while writing leaves one."""


class Nemesis:
    """The faults of one test. Its history has each as an operation: ok once its effect is proven.

    undos: the kinds of undo that its journal may hold.
    """

    def __init__(
        self,
        site: Site,
        *,
        undos: Mapping[str, type[Undo]] | None = None,
        proven_within: float = _PROVEN_WITHIN,
    ) -> None:
        self._site = site
        self._undos = faults.UNDOS if undos is None else undos
        self._journal = Journal.of(site.cluster.name)
        self._proven_within = proven_within
        self._recorder = Recorder()
        self._injected: list[Entry] = []
        self._lasting: dict[str, Aimed] = {}

    @property
    def history(self) -> History:
        """The faults so far, and their ends; add it to the clients' history."""
        return self._recorder.history

    def inject(self, fault: Fault) -> str:
        """Inject the fault; returns the witness of its effect, in words.

        Raises ClusterError when it cannot be injected, TimedOut when nothing proves its effect.
        In both cases `heal` undoes whatever happened.
        """
        aimed = fault.aim(self._site)
        name = fault.describe()
        entry = Entry(aimed.undo.kind, aimed.undo.parameters, name)
        with self._recorder.call(NEMESIS, name) as call:
            self._journal.add(entry)
            self._injected.append(entry)
            aimed.strike(self._site)
            proof = wait_until(
                lambda: aimed.took_effect(self._site),
                self._proven_within,
                what=f"{name} took effect",
                ignoring=(ClusterError,),
            )
            call.ok(proof)
        if aimed.lasting:
            self._lasting[entry.entry_id] = aimed
        return proof

    def owe(self, undo: Undo, what: str) -> None:
        """Record how to undo a change that the test is about to make without a fault.

        what: the change in words. `heal` undoes it like a fault, also from another process.
        """
        entry = Entry(undo.kind, undo.parameters, what)
        self._journal.add(entry)
        self._injected.append(entry)

    def heal(self) -> tuple[str, ...]:
        """Undo this nemesis' faults, the latest first; returns their descriptions. Idempotent.

        Raises Inconclusive when one cannot be undone (it stays in the journal), or when a lasting
        fault was over before its undo: what happened meanwhile then proves nothing.
        """
        if not self._injected:
            return ()
        with self._recorder.call(NEMESIS, HEAL) as call:
            over = [entry.fault for entry in self._injected if not self._goes_on(entry)]
            done, failures = _undo(self._site, self._journal, self._injected, self._undos)
            self._injected = [entry for entry in self._injected if entry not in done]
            early = [f"ended before it was undone: {', '.join(over)}"] if over else []
            _complain(failures, early)
            undone = tuple(entry.fault for entry in done)
            call.ok(undone)
        return undone

    def _goes_on(self, entry: Entry) -> bool:
        """Whether a lasting fault is still in effect; asked only once."""
        aimed = self._lasting.pop(entry.entry_id, None)
        if aimed is None:
            return True
        try:
            return bool(aimed.took_effect(self._site))
        except Exception:  # noqa: BLE001 - no answer is no proof, and everything is undone anyway
            return False


def heal(
    site: Site,
    undos: Mapping[str, type[Undo]] | None = None,
    *,
    which: Callable[[Entry], bool] = lambda _: True,
) -> tuple[str, ...]:
    """Undo what the journal of the site's cluster holds, latest first; returns what was undone.

    which: chooses entries, by default all. Warns (JournalDamaged) of lines that are not entries.
    Raises Inconclusive naming what cannot be undone, after it has undone everything else.
    """
    journal = Journal.of(site.cluster.name)
    contents = journal.read()
    for line in contents.unreadable:
        warnings.warn(
            f"{journal.path}: this line is not an entry and was skipped: {line[:200]}",
            JournalDamaged,
            stacklevel=2,
        )
    chosen = [entry for entry in contents.entries if which(entry)]
    done, failures = _undo(site, journal, chosen, faults.UNDOS if undos is None else undos)
    if contents.unreadable and not journal.read().entries:
        journal.remove("")  # only unreadable lines are left
    _complain(failures)
    return tuple(entry.fault for entry in done)


def _undo(
    site: Site, journal: Journal, entries: Sequence[Entry], undos: Mapping[str, type[Undo]]
) -> tuple[list[Entry], list[str]]:
    """Undo from the last to the first; the undone entries, and the errors of the others.

    One that fails does not keep the others from being undone.
    """
    done, failures = [], []
    for entry in reversed(entries):
        try:
            _made_again(entry, undos).perform(site)
            journal.remove(entry.entry_id)
        except Exception as error:  # noqa: BLE001 - reported with all others
            failures.append(f"{entry.fault}: {in_words(error)}")
            continue
        done.append(entry)
    return done, failures


def _made_again(entry: Entry, undos: Mapping[str, type[Undo]]) -> Undo:
    try:
        return undos[entry.kind].restored(entry.parameters)
    except (KeyError, ValueError, TypeError) as error:
        raise ClusterError(
            f"the journal's entry of kind {entry.kind!r} with {entry.parameters} cannot be undone "
            f"by this version"
        ) from error


def _complain(failures: Sequence[str], others: Sequence[str] = ()) -> None:
    told = list(others)
    if failures:
        left = "; ".join(failures)
        told.insert(0, f"not undone, still in the journal (run: infraforge heal): {left}")
    if told:
        raise Inconclusive("; ".join(told))
