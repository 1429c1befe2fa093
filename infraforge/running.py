"""`infraforge test`: one run of a profile's suites, its report, and one exit code."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from infraforge import arguments, evidence, folders, healing, progress, report, runs, stack
from infraforge.cluster import state
from infraforge.cluster.users import Use
from infraforge.errors import Inconclusive, InfraForgeError, UsageError
from infraforge.images import sources
from infraforge.profile import Profile
from infraforge.runs import Run
from infraforge.sabotage import command as sabotage
from infraforge.turns import SIDE_BY_SIDE

ROOT = folders.root()
_IN_CI = 6
"""Sabotages that a run tries where CI is set: nearly always one group, which is tried at once.

A group of up to 12 takes 7 to 12 minutes, whatever their number; one that is judged oddly is split,
and takes longer. `.ci/run` may take 90 minutes with nothing cached, and needs 35 of them for the
rest. Six leave room for a group that is split, and with each commit it is six others.
"""
_USAGE = 64
_PYTEST_USAGE, _PYTEST_NOTHING = 4, 5
_OWN_CODES = ("-p", "no:infraforge.ending")
"""Has a pytest that only collects end with these, and not with what they mean of a platform."""

_DEFAULT_PROFILE = "minimal"
_HOLDS, _BROKEN, _UNKNOWN, _NOT_ALL_HERE = 0, 1, 2, 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; whatever else is given goes to pytest."""
    parser.description = (
        "Stand the profile up, run its suites, write the report, and remove what was made. "
        "Results go to reports/ of a checkout; those of an installed wheel to reports/ in the "
        "state folder, ~/.local/state/infraforge or what INFRAFORGE_STATE says."
    )
    parser.add_argument("--profile", help="what to stand up and to test")
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="the experiments instead of the suites; by default of the profile that is up, "
        f"or {_DEFAULT_PROFILE}",
    )
    parser.add_argument(
        "--name",
        type=arguments.refusing(state.cluster_dir),
        default=stack.DEFAULT_NAME,
        help="of the cluster (%(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the platform running afterwards")
    parser.add_argument(
        "--images", choices=sources.HOW, default="auto", help="where they come from (%(default)s)"
    )
    parser.add_argument("--no-report", action="store_true", help="no HTML, only Allure's results")
    parser.add_argument(
        "--sabotages",
        type=arguments.number("number", 0),
        metavar="N",
        default=_IN_CI if os.environ.get("CI") and not folders.installed() else 0,
        help="then break the platform in N ways, rotating by commit "
        f"({_IN_CI} where CI is set, else 0)",
    )
    parser.add_argument(
        "pytest", nargs="*", metavar="ARG", help="passed to pytest, after --: paths, -k, -x, …"
    )


def run(options: argparse.Namespace) -> int:
    """Stand up, run the suites, report, remove; the exit code of the table in cli.py.

    A platform that was up before, by `up` or `--keep`, stays; so does one that others use.
    """
    _check_arguments(options)
    profile = _settle_profile(options)
    run = runs.started(evidence.REPORTS)
    run.refuse_claimed()
    use = Use(options.name, "infraforge test").join()
    try:
        with run.in_use():
            return _run(options, profile, use, run)
    finally:
        for item in stack.leave(use):
            print(f"infraforge: removed {item}", flush=True)


def _run(options: argparse.Namespace, profile: Profile, use: Use, run: Run) -> int:
    for item in healing.before_run(options.name):
        print(f"infraforge: undone, left by a run before: {item}", flush=True)
    with progress.shown() as say:
        platform = stack.stand_up(
            options.name, profile, progress=say, keep=options.keep, images=options.images
        )
    evidence.note_timings(platform.timings, run.timings)
    return _judge(options, use, run)


def _settle_profile(options: argparse.Namespace) -> Profile:
    """Where none is named: for experiments the one that is up, else minimal."""
    if options.profile is None:
        if not options.chaos:
            raise UsageError("say which profile to test: infraforge test --profile minimal")
        options.profile = stack.profile_of(options.name) or _DEFAULT_PROFILE
    return stack.deployable(options.profile, stack.TREE)


def _check_arguments(options: argparse.Namespace) -> None:
    """Raise UsageError, before anything is touched, for what pytest cannot make sense of."""
    if not options.pytest:
        return
    argv = [sys.executable, "-m", "pytest", *_selection(options), "--collect-only", "-q"]
    argv += ["-p", "no:cacheprovider", *_OWN_CODES]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    errors = [line for line in said if "error" in line.lower()]
    told = (errors or said or [""])[-1].strip()
    if done.returncode in (_PYTEST_USAGE, _USAGE):
        raise UsageError(f"pytest refuses what is after --: {told}; see: pytest --help")
    if done.returncode == _PYTEST_NOTHING:
        raise Inconclusive(f"no test is chosen by: {' '.join(options.pytest)}")
    if done.returncode:
        raise Inconclusive(f"the tests cannot be collected: {told}")


def _judge(options: argparse.Namespace, use: Use, run: Run) -> int:
    started = time.monotonic()
    with evidence.stage("suites", run.timings):
        code = _exit_code(_pytest(options, run))
    print(f"infraforge: suites ended after {time.monotonic() - started:.0f} s", flush=True)
    if not options.no_report:
        code = _report(code, run)
    if options.sabotages and code == _HOLDS:
        # against a suite that is red already, a sabotage proves nothing
        with evidence.stage("sabotages", run.timings):
            code = _sabotage(options, use)
    return code


def _sabotage(options: argparse.Namespace, use: Use) -> int:
    parser = argparse.ArgumentParser()
    sabotage.configure(parser)
    argv = ["--rotate", str(options.sabotages), "--name", options.name]
    return sabotage.run(parser.parse_args([*argv, "--profile", options.profile]), use)


def _report(code: int, run: Run) -> int:
    try:
        print(f"infraforge: report: {report.generate(run)}", flush=True)
    except InfraForgeError as error:
        print(f"infraforge: no report: {error}", file=sys.stderr)
        return code or _UNKNOWN
    return code


def _pytest(options: argparse.Namespace, run: Run) -> int:
    """Pytest's own exit code. Raises KeyboardInterrupt once an interrupted pytest has ended."""
    argv = [sys.executable, "-m", "pytest", f"--profile={options.profile}"]
    argv += [f"--cluster-name={options.name}"]
    argv += [] if options.chaos else SIDE_BY_SIDE  # experiments are alone, each of them
    argv += [*_selection(options), *folders.pytest_options()]
    environment = {**os.environ, **folders.pytest_environment(), runs.VARIABLE: run.id}
    process = subprocess.Popen(argv, cwd=ROOT, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # a terminal's Ctrl-C reached pytest too, a signal to this process alone did not; of two
        # it heeds one
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _selection(options: argparse.Namespace) -> list[str]:
    """What to run: paths after `--` where there are any, else the whole folder.

    Which of these arguments are paths, and which belong to options, pytest itself knows best.
    """
    return ["-o", f"testpaths={'chaos' if options.chaos else 'suites'}", *options.pytest]


def _exit_code(of_pytest: int) -> int:
    if of_pytest in (_HOLDS, _BROKEN, _UNKNOWN, _NOT_ALL_HERE, _USAGE):
        return of_pytest
    return _USAGE if of_pytest == _PYTEST_USAGE else _UNKNOWN
