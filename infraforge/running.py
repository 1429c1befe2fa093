"""`infraforge test`: one run of a profile's suites, its report, and one exit code."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from infraforge import evidence, report, runs, sabotage, stack
from infraforge.errors import InfraForgeError
from infraforge.images import progress, sources
from infraforge.runs import Run
from infraforge.turns import SIDE_BY_SIDE

ROOT = Path(__file__).parents[1]
_IN_CI = 2
_USAGE = 64
_PYTEST_USAGE = 4
_HOLDS, _BROKEN, _UNKNOWN = 0, 1, 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; whatever else is given goes to pytest."""
    parser.add_argument("--profile", required=True, help="what to stand up and to test")
    parser.add_argument("--name", default=stack.DEFAULT_NAME, help="of the cluster (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the platform running afterwards")
    parser.add_argument(
        "--images", choices=sources.HOW, default="auto", help="where they come from (%(default)s)"
    )
    parser.add_argument("--no-report", action="store_true", help="no HTML, only Allure's results")
    parser.add_argument(
        "--sabotages",
        type=int,
        metavar="N",
        default=_IN_CI if os.environ.get("CI") else 0,
        help="then break the platform in N ways, rotating by commit (2 where CI is set, else 0)",
    )
    parser.add_argument(
        "pytest", nargs="*", metavar="ARG", help="passed to pytest, after --: paths, -k, -x, …"
    )


def run(options: argparse.Namespace) -> int:
    """Stand up, run the suites, report, remove; the exit code of the table in cli.py.

    A platform that was up before, by `up` or `--keep`, stays.
    """
    run = runs.started(evidence.REPORTS)
    run.refuse_claimed()
    with run.in_use():
        return _run(options, run)


def _run(options: argparse.Namespace, run: Run) -> int:
    with progress.shown() as say:
        platform = stack.stand_up(
            options.name, options.profile, progress=say, keep=options.keep, images=options.images
        )
    evidence.note_timings(platform.timings, run.timings)
    try:
        code = _judge(options, run)
    finally:
        if not stack.stays(options.name):
            for item in stack.tear_down(options.name):
                print(f"infraforge: removed {item}", flush=True)
    return code


def _judge(options: argparse.Namespace, run: Run) -> int:
    started = time.monotonic()
    with evidence.stage("suites", run.timings):
        code = _exit_code(_pytest(options, run))
    print(f"infraforge: suites ended after {time.monotonic() - started:.0f} s", flush=True)
    if not options.no_report:
        code = _report(code, run)
    if options.sabotages and code == _HOLDS:
        # against a suite that is red already, a sabotage proves nothing
        with evidence.stage("sabotages", run.timings):
            code = _sabotage(options)
    return code


def _sabotage(options: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser()
    sabotage.configure(parser)
    argv = ["--rotate", str(options.sabotages), "--name", options.name]
    return sabotage.run(parser.parse_args([*argv, "--profile", options.profile]))


def _report(code: int, run: Run) -> int:
    try:
        print(f"infraforge: report: {report.generate(run)}", flush=True)
    except InfraForgeError as error:
        print(f"infraforge: no report: {error}", file=sys.stderr)
        return code or _UNKNOWN
    return code


def _pytest(options: argparse.Namespace, run: Run) -> int:
    """Pytest's own exit code. Raises KeyboardInterrupt once an interrupted pytest has ended."""
    chosen = [arg for arg in options.pytest if not arg.startswith("-")]
    argv = [sys.executable, "-m", "pytest", f"--profile={options.profile}"]
    argv += [f"--cluster-name={options.name}", *SIDE_BY_SIDE]
    argv += options.pytest if chosen else ["suites", *options.pytest]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, runs.VARIABLE: run.id})
    try:
        return process.wait()
    except KeyboardInterrupt:
        # a terminal's Ctrl-C reached pytest too; a signal to this process alone did not
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _exit_code(of_pytest: int) -> int:
    if of_pytest in (_HOLDS, _BROKEN, _UNKNOWN, _USAGE):
        return of_pytest
    return _USAGE if of_pytest == _PYTEST_USAGE else _UNKNOWN
