"""What a Content-Security-Policy leaves open. Pure."""

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
    """How a page under this policy could still be made to run or embed what is not its own.

    policy: the header's value; empty where there is none. Scripts may come from the page's own
    origin, or be known by nonce or hash; plugins may not be at all; no other site may frame the
    page, change its base, or get its forms. Empty where nothing is left open.
    """
    directives: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *values = part.split() or [""]
        directives.setdefault(name.lower(), [value.lower() for value in values])  # the first counts
    found = []
    for name, others in _FALLS_BACK.items():
        given = next((one for one in (name, *others) if one in directives), None)
        if given is None:
            found.append(f"{name} is not bounded")
            continue
        values = directives[given]
        known: tuple[str, ...] = _NONCES if name in _SCRIPTS else ()
        odd = [value for value in values if value not in _SAFE and not value.startswith(known)]
        if name in ("object-src", "frame-ancestors", "base-uri"):
            odd += [value for value in values if value == "'self'"]
        found += [f"{name} allows {value}" for value in odd]
    return found
