"""The documentation as selftests read it: pages, what they link to, and what they name."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> Iterator[str]:
    """The command lines in a page's shell blocks, without comments."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            command = re.sub(r"(^|\s)#.*", "", line)
            yield from filter(None, (part.strip() for part in re.split(r"&&|\||;", command)))


def inline_code(page: Path) -> list[str]:
    """What stands in backticks in a page's text, wrapped lines joined."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may name, as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def calls(page: Path, program: str) -> list[list[str]]:
    """How the page calls a program, in its shell blocks and in its text."""
    found = []
    for line in [*shell_lines(page), *inline_code(page)]:
        text = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line).replace("./bootstrap ", "")
        words = shlex.split(text) if text.count("'") % 2 == 0 else text.split()
        if words and words[0] == program:
            found.append([word for word in words[1:] if word not in ("…", "...")])
    return found


def module(place: str) -> ModuleType:
    """A script of the documentation, imported by its path."""
    path = ROOT / place
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
