"""`infraforge bench NAME`: figures, with their floor in the same run."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from infraforge import arguments, interrupts, progress, stack
from infraforge.bench import checkers, reads
from infraforge.cluster import install, kind, state
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.users import Use
from infraforge.errors import UsageError
from infraforge.images import build
from infraforge.places import refuse_foreign_file
from infraforge.profile import Profile
from infraforge.progress import Progress

_BARE = "infraforge-bare"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("what", choices=sorted(_BENCHES), metavar="NAME", help=", ".join(_BENCHES))
    parser.add_argument("--profile", default="minimal", help="(%(default)s)")
    parser.add_argument(
        "--json", type=arguments.writable_file, help="write the figures to this file too"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and print; 0 when the figures could be taken, whatever they are."""
    if options.json:
        refuse_foreign_file(options.json, "a file of figures", _is_figures)
    with progress.shown() as say:
        figures = _BENCHES[options.what](options.profile, say)
    for name, value in figures.items():
        print(f"{name:40} {value:10.1f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _is_figures(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(found, dict) and all(isinstance(n, int | float) for n in found.values())


def standup(profile_name: str, say: Progress) -> Mapping[str, float]:
    """Seconds of a warm stand-up, beside a bare KIND cluster with Cilium ready; re-attach; GiB.

    Raises UsageError while a platform is up: its load would be in every figure.
    """
    if state.names():
        raise UsageError(f"{', '.join(state.names())} is up; run `infraforge down` first")
    profile = Profile.load(profile_name, stack.TREE)
    bare_use = Use(_BARE, "infraforge bench").join()
    with state.sharing_machine(), bare_use.alone(), state.locked(_BARE):
        floor = _floor(profile, say)
    bare_use.leave()
    state.forget(_BARE)
    name = stack.DEFAULT_NAME
    use = Use(name, "infraforge bench").join()
    try:
        began = time.monotonic()
        stack.stand_up(name, profile, progress=say, keep=False)
        full = time.monotonic() - began
        began = time.monotonic()
        stack.stand_up(name, profile, progress=say, keep=False)
        again = time.monotonic() - began
        memory = _memory_gib(kind.Kind(name, stack.TREE).nodes())
    finally:
        stack.leave(use)
    return {
        "bare cluster with Cilium ready, s": floor,
        "whole platform, s": full,
        "ratio (at most 2.5)": full / floor,
        "re-attach, s (under 5)": again,
        "memory of all nodes, GiB (under 4)": memory,
    }


def _floor(profile: Profile, say: Progress) -> float:
    """Seconds until a bare KIND cluster has a network; it is gone again then."""
    plan = stack.images_for(profile, stack.TREE, say)
    issuer = stack.start_registry(plan.catalogue)
    digests = plan.fill(issuer.ca_file, say)
    bare = kind.Kind(_BARE, stack.TREE)
    try:
        began = time.monotonic()
        bare.create(
            profile,
            build.record("node", plan.catalogue).tag,
            issuer.ca_file,
            digests,
            lambda line: say("bare", line),
        )
        install.install(bare, stack.TREE, issuer, digests, parts=("cilium",))
        install.wait_network(bare, profile.budgets.cluster)
        return time.monotonic() - began
    finally:
        with interrupts.undisturbed():
            bare.delete()


def _memory_gib(nodes: list[str]) -> float:
    """Working set of the node containers, as Docker accounts it (cache left out)."""
    printed = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *nodes)
    return sum(_gib(line.split("/")[0].strip()) for line in printed.splitlines())


def _gib(text: str) -> float:
    units = {"KiB": 2**-20, "MiB": 2**-10, "GiB": 1.0, "B": 2**-30}
    unit = next(unit for unit in units if text.endswith(unit))
    return float(text.removesuffix(unit)) * units[unit]


_BENCHES: Mapping[str, Callable[[str, Progress], Mapping[str, float]]] = {
    "standup": standup,
    "reads": reads.reads,
    "checkers": checkers.checkers,
}
