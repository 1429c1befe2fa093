"""`infraforge bench NAME`: figures, with their floor or a peer in the same run."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infraforge import arguments, interrupts, progress, stack
from infraforge.bench import checkers, failover, kinds, reads
from infraforge.bench.result import Result
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
    """Add the options. What was not given is None: each benchmark takes those that it knows."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("what", choices=sorted(_BENCHES), metavar="NAME", help=", ".join(_BENCHES))
    parser.add_argument("--profile", help=f"standup: of this profile (default: {_PROFILE})")
    parser.add_argument(
        "--repeat",
        type=arguments.number("number of failovers", 1, 1000),
        metavar="N",
        help=f"failover: so many of each kind (default: {failover.REPEAT})",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=kinds.NAMES,
        metavar="KIND",
        help="failover: only this kind; may be given again",
    )
    parser.add_argument(
        "--json", type=arguments.writable_file, help="write the figures to this file too"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and print. 0 when the figures could be taken, whatever they are, and all holds that
    was judged on the way; 1 when something of it is broken, 2 when that is unknown."""
    bench = _BENCHES[options.what]
    _refuse_unknown(options, bench)
    if options.json:
        refuse_foreign_file(options.json, "a file of figures", _is_figures)
    with progress.shown() as say:
        result = bench.measure(options, say)
    for line in result.lines or [f"{name:40} {n:10.1f}" for name, n in result.figures.items()]:
        print(line)
    if options.json:
        whole = {**result.details, "figures": result.figures} if result.details else result.figures
        options.json.write_text(json.dumps(whole, indent=1))
    return result.exit_code


def _refuse_unknown(options: argparse.Namespace, bench: Bench) -> None:
    """Raise UsageError for an option that this benchmark would not look at."""
    given = [name for name in _OPTIONS if getattr(options, name) is not None]
    for name in given:
        if name not in bench.takes:
            known = ", ".join(f"--{one}" for one in (*bench.takes, "json"))
            raise UsageError(f"bench {options.what} takes no --{name}; it takes: {known}")


def _is_figures(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    if isinstance(found, dict) and "bench" in found:
        found = found.get("figures")
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


@dataclass(frozen=True)
class Bench:
    """A benchmark. takes: names of the options that it knows, beside `--json`."""

    measure: Callable[[argparse.Namespace, Progress], Result]
    takes: tuple[str, ...] = ()


_PROFILE = "minimal"
_OPTIONS = ("profile", "repeat", "only")
_BENCHES: Mapping[str, Bench] = {
    "standup": Bench(
        lambda options, say: Result(standup(options.profile or _PROFILE, say)), ("profile",)
    ),
    "reads": Bench(lambda _, say: Result(reads.reads("", say))),
    "checkers": Bench(lambda _, say: Result(checkers.checkers("", say))),
    "failover": Bench(
        lambda options, say: failover.failover(options.repeat, options.only, say),
        ("repeat", "only"),
    ),
}
_EPILOG = "\n".join(
    [
        "NAME:",
        "  standup    stand a platform up, beside a bare cluster; none may be up",
        "  reads      reads through the front door of the platform that is up",
        "  checkers   operations judged in a second; no platform",
        "  failover   another member of PostgreSQL takes over, again and again, under writers;",
        "             beside plain Patroni processes and a raw promotion. It needs a platform with",
        "             several members (infraforge up --profile enterprise) to itself. About half",
        "             a minute for each failover, a minute where the primary falls silent",
        "",
        "KIND of failover, with what its recovery time must reach:",
        *(f"  {kind.name:18}  {kind.what}; {kind.promise}" for kind in kinds.KINDS),
        "",
        "exit codes of failover: 0 all that the checkers judged holds · 1 an acknowledged commit",
        "was lost, or an answer was wrong · 2 unknown · 130 interrupted; what was measured by then",
        "is printed and written. A slow figure is marked, and no failure.",
    ]
)
