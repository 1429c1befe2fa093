"""Compares the images in use with the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infraforge_platform_api import images
from infraforge_platform_api.components import Component
from infraforge_platform_api.registry import NoAnswer, Registry


@dataclass(frozen=True)
class InUse:
    """One image that components use. running: the distinct digests that run."""

    reference: images.Reference
    components: tuple[str, ...]
    running: tuple[str, ...]


def in_use(components: Iterable[Component]) -> list[InUse]:
    """Every image that is pinned or runs, once, with the components that use it. Pure."""
    users: dict[tuple[str, str], set[str]] = {}
    running: dict[tuple[str, str], set[str]] = {}
    for component in components:
        for image in component.images:
            key = (image.reference, image.pinned)
            users.setdefault(key, set()).add(component.name)
            running.setdefault(key, set()).update(image.running)
    return [
        InUse(
            images.Reference.parse(f"{name}@{digest}" if digest else name),
            tuple(sorted(users[name, digest])),
            tuple(sorted(running[name, digest])),
        )
        for name, digest in sorted(users)
    ]


def look(registry: Registry, used: Iterable[InUse]) -> dict[str, object]:
    """The registry's state as a JSON document."""
    detail = ""
    try:
        registry.probe()
    except NoAnswer as error:
        detail = str(error)
    with ThreadPoolExecutor(4, thread_name_prefix="registry") as pool:
        rows = list(pool.map(lambda image: _row(registry, image, asked=not detail), used))
    about = {"address": registry.address, "reachable": not detail, "detail": detail}
    return {"registry": about, "images": rows}


def _row(registry: Registry, used: InUse, *, asked: bool) -> Mapping[str, object]:
    reference, held, tagged = used.reference, None, None
    if asked:
        try:
            if reference.digest:
                held = registry.digest(reference.repository, reference.digest) is not None
            if reference.tag:
                tagged = registry.digest(reference.repository, reference.tag)
        except NoAnswer:
            held = tagged = None
    return {
        "reference": reference.name,
        "components": list(used.components),
        "pinned": reference.digest,
        "running": list(used.running),
        "held": held,
        "tagged": tagged,
        "state": images.state(reference.digest, used.running, held, tagged),
    }
