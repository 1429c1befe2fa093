"""How soon writes come back when another member of PostgreSQL takes over, beside plain processes.

On the platform that is up: failovers of each kind (`kinds.KINDS`), each under writers of its own
and judged by the checkers. After the crashes, in the same run and while the platform idles, the
same crash of plain Patroni processes and of a pair that is promoted by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from infraforge import folders, stack, starvation
from infraforge.bench import rounds, samples
from infraforge.bench.kinds import KINDS, Kind, named
from infraforge.bench.on_platform import OnPlatform, several, using
from infraforge.bench.peer_pair import RawPair
from infraforge.bench.peer_patroni import PlainPatroni
from infraforge.bench.result import Result
from infraforge.bench.rounds import Subject
from infraforge.bench.samples import PLATFORM, Sample
from infraforge.components import containers, members, patroni
from infraforge.errors import InfraForgeError, UsageError, in_words
from infraforge.history import History
from infraforge.profile import Profile
from infraforge.progress import Done, Progress
from infraforge.verdict import Outcome, Verdict, worst

REPEAT = 10
_EXIT = {Outcome.HOLDS: 0, Outcome.BROKEN: 1, Outcome.UNKNOWN: 2}
_INTERRUPTED = 130
_IN_A_ROW = 2
"""So many failovers without a figure, one after the other, end the measurement of their subject."""
_ASKED_FOR = 5

Peer = Callable[[Profile], AbstractContextManager[Subject]]
PEERS: dict[str, Peer] = {samples.PLAIN: PlainPatroni, samples.RAW: RawPair}


def failover(repeat: int | None, only: Sequence[str] | None, say: Progress) -> Result:
    """Recovery times of so many failovers of each kind: seconds as writers saw them.

    only: names of kinds; all by default, where the platform has the members. Raises UsageError
    where no platform with several members of PostgreSQL is up, or another process uses it.
    """
    with using(stack.DEFAULT_NAME) as platform:
        site = platform.site
        chosen, skipped = choose(site.profile, only)
        containers.nodes(site)
        watch = starvation.Watch()
        watch.ask = lambda: site.core.read_namespace("default", _request_timeout=_ASKED_FOR)
        run = Run(repeat or REPEAT, watch.figures, say, skipped=skipped)
        try:
            measure(run, OnPlatform(site), chosen, site.profile, PEERS)
        except KeyboardInterrupt:  # all is undone; an hour's figures are not to be lost
            run.interrupted = True
        finally:
            watch.stop()
    return result(run, _ttl(site.profile))


def choose(profile: Profile, only: Sequence[str] | None) -> tuple[list[Kind], dict[str, str]]:
    """The kinds to measure, and of those that the platform cannot show, why.

    Raises UsageError where the profile has one member, or too few for a kind that was asked for.
    """
    count = len(members.of(profile))
    if count < 2:
        raise UsageError(
            f"profile {profile.name} has one member of PostgreSQL, so none takes over; run: "
            f"infraforge down, then: infraforge up --profile {several()[-1]}"
        )
    wanted = [named(name) for name in only] if only else list(KINDS)
    lacking = {
        kind.name: f"needs {kind.members} members, profile {profile.name} has {count}"
        for kind in wanted
        if kind.members > count
    }
    if only and lacking:
        told = "; ".join(f"{name} {why}" for name, why in lacking.items())
        fitting = next(name for name in reversed(several()))
        raise UsageError(f"{told}; run: infraforge down, then: infraforge up --profile {fitting}")
    chosen = [kind for kind in KINDS if kind in wanted and kind.name not in lacking]
    return chosen, lacking


@dataclass
class Run:
    """One run of the benchmark. skipped: kind or peer → why it was not measured; kept: histories of
    failovers that do not hold."""

    repeat: int
    figures: rounds.Machine
    say: Progress
    skipped: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)
    interrupted: bool = False
    folder: Path = field(default_factory=lambda: folders.output() / "bench")


def measure(
    run: Run, platform: Subject, chosen: Sequence[Kind], profile: Profile, peers: dict[str, Peer]
) -> None:
    """Each kind on the platform, and right after a crash the peers' one."""
    if not any(kind.peers for kind in chosen):
        run.skipped |= dict.fromkeys(peers, "it is measured beside crashes only")
    for at, kind in enumerate(chosen):
        if not repeated(run, platform, kind):
            left = [other.name for other in chosen[at + 1 :]]
            left += peers if kind.peers else ()
            run.skipped |= dict.fromkeys(left, f"{kind.name} was given up")
            return
        for name, peer in peers.items() if kind.peers else ():
            run.say(name, "set-up")
            try:
                with peer(profile) as subject:
                    repeated(run, subject, kind)
            except InfraForgeError as error:
                run.skipped[name] = in_words(error)
            run.say(name, Done(run.skipped.get(name, "measured")))


def repeated(run: Run, subject: Subject, kind: Kind) -> bool:
    """So many failovers of one kind; whether the subject is fit for more."""
    place = f"{subject.name}, {kind.name}"
    in_a_row = 0
    for number in range(1, run.repeat + 1):
        run.say(place, f"{number} of {run.repeat}")
        sample, verdict, history = rounds.failover(subject, kind, number, run.figures)
        run.samples.append(sample)
        run.verdicts.setdefault(subject.name, []).append(verdict)
        if verdict.outcome is not Outcome.HOLDS:
            run.kept.append(_keep(run.folder, sample, history))
        in_a_row = in_a_row + 1 if sample.seconds is None else 0
        if in_a_row == _IN_A_ROW:
            run.skipped[f"the rest of {place}"] = f"{_IN_A_ROW} in a row had no figure"
            run.say(place, Done(f"given up after {number} of {run.repeat}"))
            return False
    times = [sample.seconds for sample in run.samples[-run.repeat :] if sample.seconds is not None]
    longest = f"the longest {max(times):.3f} s" if times else "none with a figure"
    run.say(place, Done(f"{run.repeat} failovers, {longest}"))
    return True


def result(run: Run, ttl: float) -> Result:
    """What is printed and kept of the run, and the exit code that the platform's verdict calls for.

    ttl: Patroni's, in seconds.
    """
    verdicts = run.verdicts.get(PLATFORM, [])
    outcome = worst([verdict.outcome for verdict in verdicts])
    lines = samples.table(run.samples, ttl)
    lines += [f"not measured: {what}: {why}" for what, why in run.skipped.items()]
    lines.append(samples.counted(run.samples))
    for subject in run.verdicts:
        lines.append(f"verdicts, {subject}: {samples.outcomes(run.samples, subject)}")
    for verdict in verdicts:
        if verdict.outcome is not Outcome.HOLDS:
            lines += verdict.explain().splitlines()
    lines += [f"history kept: {path}" for path in run.kept]
    lines.append(f"the platform: {outcome}{'; interrupted' if run.interrupted else ''}")
    details = {
        "bench": "failover",
        "outcome": str(outcome),
        "interrupted": run.interrupted,
        "percentiles": samples.METHOD,
        "skipped": run.skipped,
        "samples": [sample.to_dict() for sample in run.samples],
    }
    code = _INTERRUPTED if run.interrupted else _EXIT[outcome]
    return Result(samples.figures(run.samples), lines, details, code)


def _keep(folder: Path, sample: Sample, history: History) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    words = f"{stamp}-{sample.subject}-{sample.kind}-{sample.number}.jsonl".replace(" ", "-")
    path = folder / words
    path.write_text(history.to_lines())
    return path


def _ttl(profile: Profile) -> float:
    settings = patroni.settings(profile, stack.TREE / "components" / members.COMPONENT)
    return float(settings["bootstrap"]["dcs"]["ttl"])
