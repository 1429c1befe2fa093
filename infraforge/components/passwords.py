"""A component's passwords: one for each of its users, made once and kept in its Secret."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping

from infraforge.components.site import Site

_ONE_WRITER = threading.Lock()


def passwords_of(
    site: Site, component: str, namespace: str, users: Iterable[str]
) -> Mapping[str, str]:
    """User → password; a user that the Secret does not know yet gets a new one there.

    Several components may ask at once for the same Secret's: they all get the same passwords.
    """
    wanted = tuple(users)

    def new(names: Iterable[str]) -> dict[str, str]:
        return {name: secrets.token_urlsafe(32) for name in names}

    with _ONE_WRITER:
        found = dict(site.secret(component, namespace, lambda: new(wanted)))
        if missing := [name for name in wanted if name not in found]:
            found |= new(missing)
            site.write_secret(component, namespace, found)
    return {name: found[name] for name in wanted}
