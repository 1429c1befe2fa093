"""Sign-ins as Vault's audit log records them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_LOGIN = re.compile(r"auth/(?:userpass|ldap)/login/(.*)")
LET_IN, DENIED = "let in", "denied"


def sign_ins(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Name → the outcome of each attempt, from audit entries of any kind.

    Only responses count: a request alone does not tell its outcome.
    """
    outcomes: dict[str, list[str]] = {}
    for entry in entries:
        path = str((entry.get("request") or {}).get("path", ""))
        login = _LOGIN.fullmatch(path)
        if entry.get("type") == "response" and login:
            outcomes.setdefault(login[1], []).append(_became(entry))
    return outcomes


def _became(entry: Mapping[str, Any]) -> str:
    response = entry.get("response") or {}
    auth = response.get("auth") or entry.get("auth") or {}
    return LET_IN if auth.get("client_token") and not entry.get("error") else DENIED
