"""`infraforge report` and `infraforge verify BUNDLE`."""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any

from infraforge import runs
from infraforge.errors import UsageError
from infraforge.evidence import REPORTS
from infraforge.report import build, bundle, container, controls, signing, verify
from infraforge.report.examined import Examined
from infraforge.table import Table

BUNDLE = REPORTS / "bundle" / "evidence.zip"
_HEX = re.compile(r"[0-9a-fA-F]{64}")


def configure(commands: Any) -> None:
    """Add both commands to the subparsers; each sets `run`."""
    report_parser = commands.add_parser(
        "report", help="write Allure's HTML, the controls and an evidence bundle of a run"
    )
    report_parser.add_argument(
        "--run", metavar="ID", help="the run (default: the latest)", dest="which"
    )
    report_parser.add_argument(
        "--list", action="store_true", help="list the recorded runs and stop"
    )
    report_parser.add_argument(
        "--out", type=Path, default=build.REPORT, help="folder of the report (%(default)s)"
    )
    report_parser.add_argument(
        "--bundle", type=Path, default=BUNDLE, help="file of the bundle (%(default)s)"
    )
    report_parser.add_argument(
        "--history", type=Path, help="a file that keeps past runs, for trends"
    )
    report_parser.add_argument(
        "--key",
        type=Path,
        help="sign with this ed25519 key (PEM; default: ~/.config/infraforge/signing.key)",
    )
    report_parser.set_defaults(run=report)
    verify_parser = commands.add_parser("verify", help="check a bundle and recompute it offline")
    verify_parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the file to check")
    verify_parser.add_argument("--sha256", metavar="HEX", help="the digest that `report` printed")
    verify_parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the key that must have signed it (PEM)"
    )
    verify_parser.add_argument("--all", action="store_true", help="also show verdicts that agree")
    verify_parser.set_defaults(run=check)


def report(options: argparse.Namespace) -> int:
    """Write report and bundle; returns 0 whatever the results are."""
    if options.list:
        return _list()
    build.refuse_foreign(options.out, options.history)
    bundle.refuse_foreign(options.bundle)
    if options.bundle.resolve().is_relative_to(options.out.resolve()):
        raise UsageError(f"{options.bundle} is in the report's own folder; name a file elsewhere")
    signer = signing.signer(options.key)
    run = runs.named(REPORTS, options.which) if options.which else runs.latest(REPORTS)
    print(controls.heading(build.read(run)))
    if run.busy:
        print("infraforge: this run has not ended; the report covers what it has recorded so far")
    with run.in_use(), build.locked():
        page = build.make(run, options.out, options.history)
        print(f"report: {page}")
        print(f"controls: {page.with_name('controls.html')}")
        digest = bundle.pack(run, options.out, build.CROSSWALK, options.bundle, signer)
    print(f"bundle: {options.bundle} (sha256 {digest})")
    print(f"signed by: {signing.fingerprint(signer.public)} (public key: {signer.path})")
    return 0


def _list() -> int:
    recorded = runs.recorded(REPORTS)
    cells: dict[tuple[str, str], str] = {}
    for run in recorded:
        try:
            index = build.read(run)
        except build.RunUnreadable as error:
            cells[run.id, "tests"] = str(error).partition(";")[0]
            continue
        code, tally = index.concluded.exit_code, index.concluded.tally
        state = "under way" if run.busy and not index.ended else "did not end"
        cells[run.id, "began"] = index.started
        cells[run.id, "profile"] = index.profile.name if index.profile else "none"
        cells[run.id, "commit"] = index.commit[:12] + ("+changes" if index.dirty else "")
        cells[run.id, "exit"] = state if code is None else str(code)
        told = [f"{number} {outcome}" for outcome, number in tally.items() if number]
        cells[run.id, "tests"] = " · ".join(told) or "none"
    if recorded:
        print(Table(cells).text())
    print(f"{len(recorded)} runs in {REPORTS / 'runs'}; the latest {runs.KEPT} are kept")
    return 0


def check(options: argparse.Namespace) -> int:
    """0: all of it agrees, 1: something was changed, 2: something cannot be recomputed."""
    expected = options.sha256
    if expected is not None and not _HEX.fullmatch(expected):
        raise UsageError(
            f"--sha256 {expected}: give the 64 hexadecimal digits that `infraforge report` printed"
        )
    trusted = None
    if options.public_key:
        try:
            trusted = signing.public_key(options.public_key.read_bytes())
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--public-key {options.public_key}: {why}; name the signer's signing.pub"
            ) from error
    content = container.read(options.bundle)
    if expected is not None:
        with options.bundle.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected.lower():
            content.troubles.insert(0, f"the bundle's SHA-256 is {digest}, not {expected.lower()}")
    examined = verify.examine(content, trusted)
    _show(examined, len(content.members), every=options.all)
    return examined.exit_code


def _show(examined: Examined, members: int, *, every: bool) -> None:
    index = examined.index
    if index:
        _say(controls.heading(index))
    if every:
        for one in examined.judged:
            now = str(one.again.outcome) if one.again is not None else f"no: {one.lacks}"
            _say(f"{one.test}: {one.name}: kept {one.kept}, recomputed {now}")
    for finding in examined.findings:
        _say(finding)
    again = sum(one.again is not None for one in examined.judged)
    tests = len(index.tests) if index else 0
    _say(
        f"{members} members; {tests} tests, {len(examined.judged)} verdicts, {again} recomputed; "
        f"{len(examined.findings)} findings"
    )
    if examined.by_assertion:
        _say(
            f"{len(examined.by_assertion)} tests rest on assertions in their own code, which "
            f"cannot be recomputed: {', '.join(_short(examined.by_assertion))}"
        )
    _say("Allure's page is not recomputed: only its digest is checked")
    if examined.vouched_for:
        _say(f"signed by the key that you named: {examined.signed_by}")
    elif examined.signed_by:
        _say(
            f"signed by {examined.signed_by}, a key that came with the bundle and proves nothing "
            f"about the signer; to check with the signer's own key: --public-key FILE"
        )
    _say(_SAID[examined.exit_code])


_SAID = {
    0: "all of it agrees",
    1: "it was changed, or does not follow from its evidence",
    2: "nothing was changed, but not all of it can be recomputed",
}


def _short(tests: list[str]) -> list[str]:
    """Tests without their parameters, each once."""
    return list(dict.fromkeys(test.split("[")[0] for test in tests))


def _say(text: object) -> None:
    """Print a line from a bundle; control characters are shown, not obeyed."""
    print("".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text)))
