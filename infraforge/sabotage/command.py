"""`infraforge sabotage`: break the running platform; exactly the named tests must turn red.

For each group of sabotages: its undo goes to disk, a patched copy of platform/ is rolled out, all
tests of the profile run, unaware, and the true tree is rolled out again. Then the tests that were
red must hold: that proves the undo, and that the sabotages were what they were red for.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infraforge import arguments, files, folders, healing, progress, stack
from infraforge.cluster import state
from infraforge.cluster.users import Use
from infraforge.errors import UsageError
from infraforge.profile import Profile
from infraforge.sabotage import verdict
from infraforge.sabotage.case import BELOW, Sabotage, names, pick
from infraforge.sabotage.experiment import REPORTS, ROOT, Experiment
from infraforge.sabotage.groups import MOST, Group, grouped
from infraforge.sabotage.verdict import Judgement
from infraforge.stack import TREE
from infraforge.table import Table
from infraforge.verdict import Outcome

CASES = ROOT / "chaos" / "sabotages"
REPORT = REPORTS / "sabotage.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to break; see --list")
    parser.add_argument("--list", action="store_true", help="the sabotages there are")
    parser.add_argument("--all", action="store_true", help="all that were seen caught before")
    parser.add_argument(
        "--alone",
        action="store_true",
        help=f"one after another (default: up to {MOST} that name different tests at once; a group"
        " that is not caught as a whole is split)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATH",
        help="run these tests alone, a file or folder below suites/: a quick look, which never"
        " counts as caught (exit 2 at best)",
    )
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
        for one in chosen:  # whatever is wrong with them is told before anything is touched
            one.check(ROOT, profile.components)
        trial = Trial(options.name, profile, Path(work), _paths(options.only))
        use = use or Use(options.name, "infraforge sabotage").join()
        try:
            # nobody else's tests are to meet a platform that is broken: while there are others,
            # nothing is healed, stood up or changed
            with use.alone():
                groups = grouped(chosen, TREE, Path(work), 1 if options.alone else MOST)
                healing.before_run_aloud(options.name)
                with progress.shown() as say:
                    stack.stand_up(options.name, profile, progress=say, keep=options.keep)
                healing.before_run_aloud(options.name)  # what did not answer before
                judgements = trial.of_all(groups)
        finally:
            if mine:
                for item in stack.leave(use):
                    print(f"removed {item}", flush=True)
    print(f"\n{verdict.table(judgements).text()}\n\nwritten to {REPORT}")
    return verdict.exit_code(list(judgements.values()))


@dataclass(frozen=True)
class Trial:
    """Groups of sabotages tried on one platform. cluster: its name; work: a folder for trees.

    only: the tests to run, where not all; nothing counts as caught then.
    """

    cluster: str
    profile: Profile
    work: Path
    only: tuple[str, ...] = ()

    def of_all(self, groups: Sequence[Group]) -> Mapping[str, Judgement]:
        """The judgement on each sabotage; a group that is not caught as a whole is split."""
        judgements: dict[str, Judgement] = {}
        waiting = list(groups)
        while waiting:
            group = waiting.pop(0)
            judgement, caught = self._of(group)
            for one in caught:
                judgements[one.name] = verdict.of_member(one.red, judgement, len(group.members))
            left = [one for one in group.members if one not in caught]
            if len(group.members) == 1 and left:
                judgements[left[0].name] = judgement
            elif left:
                waiting[:0] = self._again(group, left, judgement)
            if self.only:
                judgements = {name: verdict.of_a_part(one) for name, one in judgements.items()}
            _write(judgements)
        return judgements

    def _of(self, group: Group) -> tuple[Judgement, Sequence[Sabotage]]:
        """The judgement on the whole group, and the members that were caught in any case."""
        began = time.monotonic()
        for member in group.members:
            print(f"\n{member.name}: {member.claim}", end="", flush=True)
        print(flush=True)
        experiment = Experiment(group.as_one, group.tree, self.cluster, self.profile, self.only)
        found = experiment.judgement()
        caught = group.caught(found)
        if caught and found.outcome is not Outcome.HOLDS:  # else that was seen already
            red = tuple(node for one in caught for node in one.red)
            sure = experiment.confirmed(Judgement(Outcome.HOLDS, "", len(red), red))
            caught = caught if sure.outcome is Outcome.HOLDS else ()
        return dataclasses.replace(found, seconds=time.monotonic() - began), caught

    def _again(self, group: Group, left: Sequence[Sabotage], found: Judgement) -> Sequence[Group]:
        """The members that are still open, in smaller groups."""
        parts = [left] if len(left) < len(group.members) else group.split(found)
        _tell_split(found, parts)
        return [again for part in parts for again in self._regrouped(part)]

    def _regrouped(self, members: Sequence[Sabotage]) -> list[Group]:
        return grouped(members, TREE, Path(tempfile.mkdtemp(dir=self.work)))


def _tell_split(found: Judgement, parts: Sequence[Sequence[Sabotage]]) -> None:
    print(f"not caught as a group: {found.why}", flush=True)
    if found.not_named:
        print(f"red, and named by none: {', '.join(found.not_named)}", flush=True)
    if found.unknown:
        print(f"unknown: {', '.join(found.unknown)}", flush=True)
    each = " | ".join(", ".join(one.name for one in part) for part in parts)
    print(f"split after {found.seconds:.0f} s into: {each}", flush=True)


def _chosen(options: argparse.Namespace, known: Sequence[str], profile: Profile) -> list[Sabotage]:
    """Those that were asked for; of all, those that were tried and whose parts the profile has."""
    if sum([bool(options.names), options.all, options.rotate is not None]) != 1:
        raise UsageError(
            f"say what to break: some of the {len(known)} sabotages, {known[0]} for instance, "
            "or --all, or --rotate N; to see what each does: infraforge sabotage --list"
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


def _paths(said: Sequence[str]) -> tuple[str, ...]:
    """Raises UsageError for what is no file or folder of tests."""
    suites = folders.shipped("suites")
    for path in said:
        place = (ROOT / path.split("::")[0]).resolve()
        if not place.exists() or not place.is_relative_to(suites):
            raise UsageError(f"--only {path}: no file or folder below {suites}")
    return tuple(said)


def _left_out(one: Sabotage, profile: Profile) -> str:
    """Why it is not tried unless named; empty where it is."""
    beyond = set(one.components) - {*profile.components, *BELOW}
    if beyond:
        return f"profile {profile.name} has no {', '.join(sorted(beyond))}"
    if silent := sorted(set(one.red) - set(profile.required)):
        return f"profile {profile.name} does not require {', '.join(silent)}"
    return one.untried


def _commit() -> str:
    if folders.installed():
        raise UsageError("--rotate goes by the commit, and an installed wheel has none; name some")
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
    text = verdict.table(judgements).markdown()
    files.replace(REPORT, f"# Sabotages\n\nCaught: exactly the named tests were red.\n\n{text}\n")
