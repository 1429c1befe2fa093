"""`infraforge sabotage`: break the running platform in one way; want exactly the named tests red.

For each sabotage: its undo goes to disk, a patched copy of platform/ is rolled out, all tests of
the profile run, unaware, and the true tree is rolled out again. Then the tests that were red must
hold: that proves the undo, and that the sabotage was what they were red for.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infraforge import arguments, files, healing, sabotage_experiment, sabotage_verdict, stack
from infraforge.cluster import state
from infraforge.cluster.users import Use
from infraforge.errors import UsageError
from infraforge.images import progress
from infraforge.profile import Profile
from infraforge.sabotage_case import BELOW, Sabotage, names, pick
from infraforge.sabotage_experiment import REPORTS, ROOT, Experiment
from infraforge.sabotage_verdict import Judgement
from infraforge.stack import TREE
from infraforge.table import Table

CASES = ROOT / "chaos" / "sabotages"
REPORT = REPORTS / "sabotage.md"

heal = sabotage_experiment.heal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to break; see --list")
    parser.add_argument("--list", action="store_true", help="the sabotages there are")
    parser.add_argument("--all", action="store_true", help="one after another")
    parser.add_argument(
        "--rotate",
        type=arguments.number("number", 1),
        metavar="N",
        help="N of them, others with each commit",
    )
    parser.add_argument(
        "--name",
        type=arguments.refusing(state.cluster_dir),
        default=stack.DEFAULT_NAME,
        help="of the cluster (%(default)s)",
    )
    parser.add_argument("--profile", help="where none is up: what to stand up (minimal)")
    parser.add_argument(
        "--keep", action="store_true", help="leave a platform that was stood up for this running"
    )


def run(options: argparse.Namespace, use: Use | None = None) -> int:
    """Break and look; 0 all caught, 1 one was not, 2 unknown.

    use: of the platform by the run that this is a part of; it stays that one's to end.
    """
    known, mine = names(CASES), use is None
    if options.list:
        print(_listing([Sabotage.load(name, CASES) for name in known]).text())
        return 0
    profile = _profile(options.name, options.profile)
    chosen = _chosen(options, known, profile)
    with tempfile.TemporaryDirectory(prefix="infraforge-sabotage-") as work:
        experiments = []
        for one in chosen:  # whatever is wrong with them is told before anything is touched
            one.check(ROOT, profile.components)
            tree = one.patched(TREE, Path(work))
            experiments.append(Experiment(one, tree, options.name, profile))
        use = use or Use(options.name, "infraforge sabotage").join()
        try:
            healing.before_run_aloud(options.name)
            with progress.shown() as say:
                stack.stand_up(options.name, profile.name, progress=say, keep=options.keep)
            healing.before_run_aloud(options.name)  # what did not answer before
            with use.alone():  # nobody else's tests are to meet a platform that is broken
                judgements = _try_all(experiments)
        finally:
            if mine:
                for item in stack.leave(use):
                    print(f"removed {item}", flush=True)
    print(f"\n{sabotage_verdict.table(judgements).text()}\n\nwritten to {REPORT}")
    return sabotage_verdict.exit_code(list(judgements.values()))


def _try_all(experiments: Sequence[Experiment]) -> Mapping[str, Judgement]:
    judgements: dict[str, Judgement] = {}
    for one in experiments:
        began = time.monotonic()
        print(f"\n{one.sabotage.name}: {one.sabotage.claim}", flush=True)
        found = one.judgement()
        took = time.monotonic() - began
        judgements[one.sabotage.name] = dataclasses.replace(found, seconds=took)
        _write(judgements)
    return judgements


def _chosen(options: argparse.Namespace, known: Sequence[str], profile: Profile) -> list[Sabotage]:
    """Those that were asked for; of all, those that were tried and whose parts the profile has."""
    if sum([bool(options.names), options.all, options.rotate is not None]) != 1:
        raise UsageError(
            "say what to break: names of sabotages, or --all, or --rotate N; they are: "
            f"{', '.join(known)} (infraforge sabotage --list says what each does)"
        )
    if options.names:
        return [Sabotage.load(name, CASES) for name in dict.fromkeys(options.names)]
    tried = {}
    for one in (Sabotage.load(name, CASES) for name in known):
        if why := _left_out(one, profile):
            print(f"left out, by name only: {one.name} ({why})", flush=True)
        else:
            tried[one.name] = one
    if options.rotate is None:
        return list(tried.values())
    commit = _commit()[:8]
    wanted = pick(list(tried), options.rotate, commit)
    at = f"0x{commit} modulo {len(tried)} is {int(commit, 16) % len(tried)}"
    print(f"chosen by commit {commit} ({at}): {', '.join(wanted)}", flush=True)
    return [tried[name] for name in wanted]


def _left_out(one: Sabotage, profile: Profile) -> str:
    """Why it is not tried unless named; empty where it is."""
    beyond = set(one.components) - {*profile.components, *BELOW}
    return f"profile {profile.name} has no {', '.join(sorted(beyond))}" if beyond else one.untried


def _commit() -> str:
    argv = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"--rotate goes by the commit, and git knows none in {ROOT}") from error
    return done.stdout.strip()


def _profile(name: str, wanted: str | None) -> Profile:
    """The profile that runs under this name, else the wanted one."""
    running = stack.profile_of(name)
    if running and wanted not in (None, running):
        raise UsageError(f"{name!r} runs profile {running!r}; use another --name")
    return Profile.load(running or wanted or "minimal", TREE)


def _listing(sabotages: Sequence[Sabotage]) -> Table:
    cells = {}
    for one in sabotages:
        cells[one.name, "what is broken"] = one.claim
        cells[one.name, "in"] = ", ".join(one.components)
        cells[one.name, "tests to turn red"] = str(len(one.red))
        cells[one.name, "seen caught"] = one.untried or "yes"
    return Table(cells)


def _write(judgements: Mapping[str, Judgement]) -> None:
    """The table as it is so far: a later one that cannot be undone must not hide it."""
    REPORT.parent.mkdir(exist_ok=True)
    text = sabotage_verdict.table(judgements).markdown()
    files.replace(REPORT, f"# Sabotages\n\nCaught: exactly the named tests were red.\n\n{text}\n")
