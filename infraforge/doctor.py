"""`infraforge doctor`: this machine, which profile fits it and why, and what is missing."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from infraforge import environment, folders
from infraforge.environment import Fit, Machine


def run(tree: Path, *, as_json: bool) -> int:
    """Print it; 0 when some profile fits and nothing is missing, else 64.

    An installed wheel may be given its images in a bundle: what only builds them may be missing.
    """
    machine = environment.look()
    fits = environment.fits(machine, tree)
    if as_json:
        print(environment.as_json(machine, fits))
    else:
        _show(machine, fits)
    missing = set(machine.missing) - set(environment.BUILDING if folders.installed() else ())
    return 0 if environment.best(fits) and not missing else 64


def _show(machine: Machine, fits: list[Fit]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, show_header=False)
    reached = [host for host, yes in machine.registries.items() if yes]
    able = [name for name, yes in machine.abilities.items() if yes]
    docker = f"Docker {machine.docker}" if machine.docker else machine.docker_trouble
    unable = [name for name, yes in machine.abilities.items() if not yes]
    for row in (
        ("system", f"{machine.system}, kernel {machine.kernel}"),
        ("cores", f"{machine.cores}"),
        ("memory", f"{machine.memory_gib:.1f} GiB, {machine.free_gib:.1f} free"),
        ("disk", f"{machine.disk_gb:.0f} GB free where the caches are"),
        ("container runtime", docker),
        ("root", {"root": "yes", "sudo": "by sudo"}.get(machine.root, "no")),
        ("cgroup", machine.cgroup),
        ("capabilities missing", ", ".join(machine.capabilities_missing) or "none"),
        ("kernel can", ", ".join(able) or "none of the features checked"),
        ("kernel cannot", ", ".join(unable) or "(it has every feature checked)"),
        ("registries reached", ", ".join(reached) or "none: images are built from packages"),
    ):
        table.add_row(*row)
    console.print(table)
    for tool, remedy in machine.missing.items():
        console.print(f"missing: {tool}; get it by: {remedy}{_unless(tool)}", soft_wrap=True)
    console.print()
    for fit in fits:
        if not fit.deployable:
            console.print(f"{fit.profile}: not in this version yet")
        else:
            said = "fits" if fit.fits else "; ".join(fit.lacks)
            console.print(f"{fit.profile}: {said}", soft_wrap=True)
    chosen = environment.best(fits)
    if chosen:
        said = f"\nchosen: {chosen} (the largest that fits); go on with: {_next(chosen)}"
        console.print(said, soft_wrap=True)
        quickest = next(fit.profile for fit in fits if fit.fits)
        if quickest != chosen:
            console.print(f"quicker, and enough for a first look: {_next(quickest)}")
    else:
        console.print("\nno profile fits this machine as it is")


def _next(profile: str) -> str:
    """The command that stands the profile up: tox is for a checkout."""
    if folders.installed():
        return f"infraforge up --profile {profile}"
    return f"./bootstrap tox -e {profile}"


def _unless(tool: str) -> str:
    """When a missing program is not needed."""
    if folders.installed() and tool in environment.BUILDING:
        return " (not needed after: infraforge images import FILE)"
    return ""
