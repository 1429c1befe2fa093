"""Nothing was noticed: every request that anybody made got what it was for."""

from __future__ import annotations

from collections import Counter

from infraforge.history import History
from infraforge.verdict import Verdict, broken, holds, unknown

NAME = "no_request_failed"


def no_request_failed(history: History) -> Verdict:
    """Every client's call ended well: none was refused, none is without an answer.

    Unknown where nothing was done, or nothing but what failed.
    """
    calls = history.clients
    failed = [call for call in calls if not call.ok]
    if len(failed) == len(calls):
        return unknown(NAME, f"of {len(calls)} calls none ended well")
    if failed:
        told = Counter(
            f"{call.function} ({call.completion.error if call.completion else 'no end'})"
            for call in failed
        )
        said = "; ".join(f"{number} of {what}" for what, number in told.most_common(5))
        operations = [operation for call in failed for operation in call.operations]
        return broken(NAME, f"{len(failed)} of {len(calls)} failed: {said}", *operations)
    done = Counter(call.function for call in calls)
    return holds(NAME, ", ".join(f"{number} of {what}" for what, number in sorted(done.items())))
