"""Renew a platform's certificates, or replace its CA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from infraforge import components
from infraforge.cluster import state
from infraforge.cluster.rotation import Phase, Rotation
from infraforge.errors import UsageError
from infraforge.progress import Progress, silent
from infraforge.stack import authorities, known
from infraforge.stack.platform import TREE


def renew(
    name: str, chosen: Iterable[str] = (), tree: Path = TREE, progress: Progress = silent
) -> list[str]:
    """New certificates for components of the platform that is up; the names of these.

    chosen: by default all that have one. Raises UsageError for one that has none.
    """
    with state.locked(name):
        platform = known.attach(name, tree)
        having = [c for c in platform.profile.components if components.load(c).listens]
        odd = sorted(set(chosen) - set(having))
        if odd:
            raise UsageError(f"{odd[0]!r} has no certificate; those have: {' '.join(having)}")
        names = sorted(chosen) or having
        with contextlib.closing(platform.site):
            platform.renew(names, progress)
            platform.wait_open(progress)
    return names


def replace_ca(name: str, tree: Path = TREE, progress: Progress = silent) -> None:
    """Another CA in the place of this platform's, with new certificates for all components.

    Goes on where a run that was killed had come to; see `cluster.rotation`.
    """
    with state.locked(name):
        platform = known.attach(name, tree)
        with contextlib.closing(platform.site), platform.rolling():
            pass  # where it is not up, or not all of it, nothing is begun
        for phase in Rotation(authorities.ca_dir(name)).phases():
            progress("CA", f"phase {phase}")
            platform = known.attach(name, tree)
            with contextlib.closing(platform.site):
                if phase is Phase.ISSUE:
                    platform.renew((), progress)
                else:
                    platform.spread_trust(progress)
        platform.wait_open(progress)
