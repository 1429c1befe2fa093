"""What a Content-Security-Policy leaves open."""

from __future__ import annotations

import pytest

from infraforge.probes.policy import weaknesses

TIGHT = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@pytest.mark.parametrize(
    "policy",
    [
        TIGHT,
        "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        f"{TIGHT}; script-src 'self' 'nonce-abc' 'sha256-def='",
    ],
)
def test_a_tight_policy_leaves_nothing_open(policy: str) -> None:
    assert weaknesses(policy) == []


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (f"{TIGHT}; script-src 'self' 'unsafe-eval'", "script-src allows 'unsafe-eval'"),
        (f"{TIGHT}; script-src 'self' 'unsafe-inline'", "script-src allows 'unsafe-inline'"),
        (f"{TIGHT}; script-src *", "script-src allows *"),
        (f"{TIGHT}; script-src https:", "script-src allows https:"),
        (f"{TIGHT}; script-src data: 'self'", "script-src allows data:"),
        (f"{TIGHT}; script-src cdn.example", "script-src allows cdn.example"),
        (f"{TIGHT}; script-src-elem 'unsafe-inline'", "script-src-elem allows 'unsafe-inline'"),
        (f"{TIGHT}; worker-src blob:", "worker-src allows blob:"),
        (TIGHT.replace("default-src 'self'; ", ""), "script-src is not restricted"),
        (TIGHT.replace("default-src 'self'", "default-src *"), "script-src allows *"),
        (TIGHT.replace("object-src 'none'", "object-src 'self'"), "object-src allows 'self'"),
        (TIGHT.replace("; frame-ancestors 'none'", ""), "frame-ancestors is not restricted"),
        (TIGHT.replace("base-uri 'none'", "base-uri *"), "base-uri allows *"),
        (TIGHT.replace("form-action 'self'", "form-action https:"), "form-action allows https:"),
        (f"script-src *; {TIGHT}; script-src 'self'", "script-src allows *"),
        (f"{TIGHT}; SCRIPT-SRC 'UNSAFE-EVAL'", "script-src allows 'unsafe-eval'"),
        ("", "script-src is not restricted"),
    ],
)
def test_weaknesses_are_named(policy: str, told: str) -> None:
    assert told in weaknesses(policy)
