"""The command: judge, draw, verify, and say in plain words what each of it means."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from infraforge import folders, places
from infraforge.demo import drawing, evidence_bundle, lessons
from infraforge.demo.drawing import Lane
from infraforge.demo.lessons import Lesson
from infraforge.errors import Inconclusive, UsageError
from infraforge.report import container, timeline, verify
from infraforge.verdict import Outcome, Verdict

OUT = Path("infraforge-demo")
_COLOURS = {Outcome.HOLDS: "green", Outcome.BROKEN: "red", Outcome.UNKNOWN: "yellow"}
_WIDEST, _NARROWEST = 100, 20
_NAMES = 12
_ASCII = dict(zip("├─┤│╠═╣║", "|-||#=##", strict=True))
_FINDINGS = 3
_HELP = """\
Needs no Docker, no cluster and no root, and takes a few seconds.

It judges three recorded histories with the real checkers (one holds, one is broken, one is
unknown), draws the broken one, packs the verdicts into a signed bundle, verifies it, and shows that
the bundle is rejected once a single byte of it is flipped. It writes four files into --out:

  timeline.html, timeline.svg   the broken history as a picture
  evidence.zip                  the bundle; try: infraforge verify DIR/evidence.zip
  evidence-flipped.zip          the same bundle with one byte flipped
"""


def configure(commands: Any) -> None:
    """Add the command to the subparsers; it sets `run`."""
    parser = commands.add_parser(
        "demo",
        help="ten seconds, no cluster: judge recorded histories, verify a bundle",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=OUT,
        help="folder for the files (default: ./%(default)s); a folder that the demo did not make "
        "is refused, never overwritten",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show all of it; 0 where everything came out as it should.

    Raises UsageError where --out is not ours to replace, Inconclusive where a verdict or the
    bundle's verification is not what the demo is about: the installation is damaged then.
    """
    began = time.monotonic()
    out: Path = options.out
    protected = {
        "your home folder": places.home(),
        "InfraForge itself": folders.root(),
        "the folder that you are in": Path.cwd(),
    }
    places.refuse_foreign_folder(out, protected)
    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, _WIDEST)
    console.print(
        "A history says what clients asked for and what they were told. A checker judges it: the "
        "property holds, it is broken, or nothing can be said. Here are three recordings."
    )
    judged = [(lesson, lesson.verdict()) for lesson in lessons.load()]
    for number, (lesson, verdict) in enumerate(judged, 1):
        _show(console, number, lesson, verdict)
    if odd := [lesson.title for lesson, verdict in judged if verdict.outcome != lesson.teaches]:
        raise Inconclusive(f"{', '.join(odd)}: not the verdict that was recorded; install anew")
    try:
        with places.made_aside(out) as new:
            _show_bundle(console, new, judged)
            places.mark(new, "demo")
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{out} cannot be written: {why}; name another: --out DIR") from error
    console.print(
        f"\nThis took {time.monotonic() - began:.1f} s. The files are in {out}: open "
        f"{out / 'timeline.html'} in a browser. A platform of your own: infraforge doctor",
        soft_wrap=True,
    )
    return 0


def _show(console: Console, number: int, lesson: Lesson, verdict: Verdict) -> None:
    console.print(f"\n[bold]{number}. {lesson.title}[/bold]")
    console.print(lesson.story, markup=False)
    first, _, rest = verdict.explain().partition("\n")
    console.print(
        Text.assemble(
            "→ ",
            (str(verdict.outcome).upper(), f"bold {_COLOURS[verdict.outcome]}"),
            f"  {first}",
        )
    )
    if verdict.outcome is Outcome.BROKEN:
        console.print(rest, markup=False, soft_wrap=True)
        width = max(_NARROWEST, console.width - _NAMES - 1)
        letters = str.maketrans({} if console.encoding.startswith("utf") else _ASCII)
        console.print(_picture(drawing.lanes(lesson.history, verdict, width), letters))
    console.print(lesson.lesson, markup=False)
    console.print(f"(Recording: {lesson.origin})", markup=False, style="dim")


def _picture(lanes: Sequence[Lane], letters: Mapping[int, str]) -> Text:
    """The lanes, for a terminal: what the verdict rests on is red, and drawn double.

    letters: what takes the place of letters that the terminal has not.
    """
    text = Text("\n")
    for lane in lanes:
        bars = Text(lane.bars.translate(letters))
        for begin, end in lane.marked:
            bars.stylize("bold red", begin, end)
        text += Text(f"{lane.process[:_NAMES]:<{_NAMES}} ") + bars
        text += Text(f"\n{'':<{_NAMES}} {lane.labels}\n")
    return text


def _show_bundle(console: Console, out: Path, judged: Sequence[tuple[Lesson, Verdict]]) -> None:
    """Write the files; verify the bundle, and the flipped one. out: an empty folder."""
    lesson, verdict = next(one for one in judged if one[1].outcome is Outcome.BROKEN)
    page = drawing.page(lesson.title, lesson.story, lesson.history, verdict)
    picture = timeline.drawn(lesson.history, verdict)
    (out / "timeline.svg").write_text(picture, encoding="utf-8")
    (out / "timeline.html").write_text(page, encoding="utf-8")
    good, bad = out / "evidence.zip", out / "evidence-flipped.zip"
    with tempfile.TemporaryDirectory(prefix="infraforge-demo-") as work:
        made, fingerprint = evidence_bundle.make(Path(work), judged, page)
        shutil.copyfile(made, good)
    console.print("\n[bold]4. The evidence, signed[/bold]")
    console.print(
        "The histories and verdicts are packed into a bundle and signed with a key made just now "
        f"({fingerprint[:23]}…). Verifying it means: judge every history again.",
        markup=False,
    )
    examined = verify.examine(container.read(good))
    told = f"{len(examined.judged)} verdicts made again, {len(examined.findings)} findings"
    _say(console, examined.exit_code == 0, f"{good.name}: {told}")
    member = evidence_bundle.flipped(good, bad)
    console.print(f"Now one bit of one byte is flipped, in {member}:", markup=False)
    damaged = verify.examine(container.read(bad))
    _say(console, damaged.exit_code == 0, f"{bad.name}: {len(damaged.findings)} findings")
    for finding in damaged.findings[:_FINDINGS]:
        console.print(textwrap.shorten(f"  {finding}", 96, placeholder=" …"), markup=False)
    if (examined.exit_code, damaged.exit_code) != (0, 1):
        raise Inconclusive("the bundle was not verified as it should be; install InfraForge anew")


def _say(console: Console, accepted: bool, words: str) -> None:
    word, colour = ("VERIFIED", "green") if accepted else ("REJECTED", "red")
    console.print(Text.assemble("→ ", (word, f"bold {colour}"), f"  {words}"))
