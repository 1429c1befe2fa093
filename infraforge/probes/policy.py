"""The weaknesses of a Content-Security-Policy. Pure."""

from __future__ import annotations

_SAFE = ("'self'", "'none'")
_NONCES = ("'nonce-", "'sha256-", "'sha384-", "'sha512-")
_SCRIPTS = ("script-src", "script-src-elem", "script-src-attr", "worker-src")
_FALLS_BACK = {
    "script-src": ("default-src",),
    "script-src-elem": ("script-src", "default-src"),
    "script-src-attr": ("script-src", "default-src"),
    "worker-src": ("child-src", "script-src", "default-src"),
    "object-src": ("default-src",),
    "frame-ancestors": (),
    "base-uri": (),
    "form-action": (),
}


def weaknesses(policy: str) -> list[str]:
    """How a page under this policy could still run or embed what is not its own.

    policy: the header's value; empty where there is none. A strict policy allows scripts from the
    page's own origin, or by nonce or hash; no plugins; and no other site may frame the page, change
    its base, or receive its forms. Empty where nothing is left open.
    """
    directives: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *values = part.split() or [""]
        # the first of repeated directives counts
        directives.setdefault(name.lower(), [value.lower() for value in values])
    weak = []
    for name, others in _FALLS_BACK.items():
        given = next((one for one in (name, *others) if one in directives), None)
        if given is None:
            weak.append(f"{name} is not restricted")
            continue
        values = directives[given]
        known: tuple[str, ...] = _NONCES if name in _SCRIPTS else ()
        odd = [value for value in values if value not in _SAFE and not value.startswith(known)]
        if name in ("object-src", "frame-ancestors", "base-uri"):
            odd += [value for value in values if value == "'self'"]
        weak += [f"{name} allows {value}" for value in odd]
    return weak
