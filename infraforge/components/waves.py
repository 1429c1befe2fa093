"""Roll components out in parallel: each starts as soon as those it needs are done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from infraforge import components
from infraforge.cluster.watching import Watching
from infraforge.components.base import Component
from infraforge.components.rollout import Rollout
from infraforge.components.site import Site
from infraforge.errors import UsageError
from infraforge.progress import Done, Progress


def in_waves(site: Site, rollout: Rollout, watching: Watching, progress: Progress) -> list[str]:
    """Roll out each component once those it needs are done; the first failure ends all waiting."""
    chosen = [components.load(name) for name in site.profile.components]
    known = rollout.inventory()
    futures: dict[str, Future[bool]] = {}

    def one(component: Component) -> bool:
        for need in component.needs:
            futures[need].result()
        started = time.monotonic()
        say: Callable[[str], None] = lambda step: progress(component.name, step)  # noqa: E731
        try:
            changed = rollout.roll_out(component, known.get(component.name), say)
        except BaseException:
            progress(component.name, Done("failed"))
            raise
        if changed:
            progress(component.name, Done(f"ready after {time.monotonic() - started:.1f} s"))
        return changed

    ordered = in_order(chosen)
    with pool_of(len(ordered)) as pool:
        for component in ordered:
            futures[component.name] = pool.submit(one, component)
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            watching.stop()
        changed = [name for name, future in futures.items() if future.result()]
    for name in set(known) - set(futures):
        rollout.remove(name, known[name])
        progress(name, Done("removed: it is not in the profile"))
    return changed


@contextlib.contextmanager
def pool_of(size: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool. Its end waits for running work, except when the block is interrupted."""
    pool = ThreadPoolExecutor(size)
    interrupted = False
    try:
        yield pool
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        pool.shutdown(wait=not interrupted, cancel_futures=True)


def in_order(chosen: Sequence[Component]) -> list[Component]:
    """The components, each after those it needs.

    Raises UsageError for a need that is not among them, and for circular needs.
    """
    by_name = {component.name: component for component in chosen}
    ordered: dict[str, Component] = {}

    def add(component: Component, chain: tuple[str, ...]) -> None:
        if component.name in ordered:
            return
        if component.name in chain:
            raise UsageError(
                f"components need each other in a circle: {' -> '.join((*chain, component.name))}"
            )
        for need in component.needs:
            if need not in by_name:
                raise UsageError(f"component {component.name} needs {need}; add it to the profile")
            add(by_name[need], (*chain, component.name))
        ordered[component.name] = component

    for component in chosen:
        add(component, ())
    return list(ordered.values())
