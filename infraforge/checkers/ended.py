"""Logout is final: a session whose end was acknowledged is never one again.

The history has, with the session as key:

    sign_out    ok once its end was acknowledged
    ask         ok with whether the session's cookie was accepted

An answer that says neither is no evidence. A sign-out without an answer may have ended the session
or not: it binds nobody.
"""

from __future__ import annotations

from infraforge.history import Call, History
from infraforge.verdict import Verdict, broken, holds, unknown

NAME = "ended_sessions_stay_ended"


def ended_sessions_stay_ended(history: History) -> Verdict:
    """No cookie is accepted in a question that began after its session's end was acknowledged.

    Unknown where no session was ended, or one that was has not been asked of afterwards.
    """
    ends: dict[str | None, Call] = {}
    for call in history.of("sign_out"):
        if call.ok:
            ends.setdefault(call.key, call)
    if not ends:
        return unknown(NAME, "no end of a session was acknowledged")
    asked: set[str | None] = set()
    for ask in history.of("ask"):
        end = ends.get(ask.key)
        if end is None or not ask.ok or not end.precedes(ask):
            continue
        asked.add(ask.key)
        if ask.value:
            told = f"{ask.key} was ended, and its cookie works again"
            return broken(NAME, told, *end.operations, *ask.operations)
    if missing := [key for key in ends if key not in asked]:
        return unknown(NAME, f"nobody asked again of {len(missing)} of {len(ends)} ended sessions")
    return holds(NAME, f"{len(ends)} ended sessions, none of whose cookies works")
