"""The nemesis injects faults so that every one of them is undone, and none is only believed in.

Undo to disk, strike, prove the effect; undo in reverse order. A process that dies on the way
leaves the journal, and `heal` in any other process does the rest.
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
    """A line of the undo journal that is no entry; a process that died while writing leaves one."""


class Nemesis:
    """Faults of one test. Its history holds each as an operation: ok once its effect is proven.

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
        """Make it happen; what proves that it did, in words.

        Raises ClusterError when it cannot be done, TimedOut when nothing proves its effect. Either
        way `heal` undoes what there may be of it.
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
        """Write down how to undo what the test is about to change by itself, without a fault.

        what: the change in words. `heal` undoes it like a fault, also in another process.
        """
        entry = Entry(undo.kind, undo.parameters, what)
        self._journal.add(entry)
        self._injected.append(entry)

    def heal(self) -> tuple[str, ...]:
        """Undo this nemesis' faults, the latest first; which they were. Safe to call again.

        Raises Inconclusive when one cannot be undone (it stays in the journal), or when one that
        should have lasted was over before: what happened meanwhile then says nothing.
        """
        if not self._injected:
            return ()
        with self._recorder.call(NEMESIS, HEAL) as call:
            over = [entry.fault for entry in self._injected if not self._goes_on(entry)]
            done, failures = _undo(self._site, self._journal, self._injected, self._undos)
            self._injected = [entry for entry in self._injected if entry not in done]
            early = [f"over before it was to be undone: {', '.join(over)}"] if over else []
            _complain(failures, early)
            undone = tuple(entry.fault for entry in done)
            call.ok(undone)
        return undone

    def _goes_on(self, entry: Entry) -> bool:
        """Whether a fault that is to last until it is undone still does; it is asked only once."""
        aimed = self._lasting.pop(entry.entry_id, None)
        if aimed is None:
            return True
        try:
            return bool(aimed.took_effect(self._site))
        except Exception:  # noqa: BLE001 - nobody can tell: that is no proof, and all is undone
            return False


def heal(
    site: Site,
    undos: Mapping[str, type[Undo]] | None = None,
    *,
    which: Callable[[Entry], bool] = lambda _: True,
) -> tuple[str, ...]:
    """Undo what the journal of the site's cluster holds, the latest first; which it was.

    which: of the entries, by default all. Warns (JournalDamaged) of lines that are no entries.
    Raises Inconclusive naming what cannot be undone, after all else was.
    """
    journal = Journal.of(site.cluster.name)
    found = journal.read()
    for line in found.unreadable:
        warnings.warn(
            f"{journal.path}: this line is no entry and was passed over: {line[:200]}",
            JournalDamaged,
            stacklevel=2,
        )
    chosen = [entry for entry in found.entries if which(entry)]
    done, failures = _undo(site, journal, chosen, faults.UNDOS if undos is None else undos)
    if found.unreadable and not journal.read().entries:
        journal.remove("")  # nothing else is in it
    _complain(failures)
    return tuple(entry.fault for entry in done)


def _undo(
    site: Site, journal: Journal, entries: Sequence[Entry], undos: Mapping[str, type[Undo]]
) -> tuple[list[Entry], list[str]]:
    """Undo from the last to the first; those that are undone, and what the others ran into.

    Each is tried, whatever the one before ran into.
    """
    done, failures = [], []
    for entry in reversed(entries):
        try:
            _made_again(entry, undos).perform(site)
            journal.remove(entry.entry_id)
        except Exception as error:  # noqa: BLE001 - told with all others
            failures.append(f"{entry.fault}: {in_words(error)}")
            continue
        done.append(entry)
    return done, failures


def _made_again(entry: Entry, undos: Mapping[str, type[Undo]]) -> Undo:
    try:
        return undos[entry.kind].restored(entry.parameters)
    except (KeyError, ValueError, TypeError) as error:
        raise ClusterError(
            f"no undo of kind {entry.kind!r} is made of {entry.parameters}"
        ) from error


def _complain(failures: Sequence[str], others: Sequence[str] = ()) -> None:
    told = list(others)
    if failures:
        left = "; ".join(failures)
        told.insert(0, f"not undone, and still in the journal (infraforge heal): {left}")
    if told:
        raise Inconclusive("; ".join(told))
