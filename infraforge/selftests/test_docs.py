"""The documentation says what is so: links lead somewhere, and whatever it names exists."""

from __future__ import annotations

import argparse
import configparser
import itertools
import re
from pathlib import Path

import pytest

from infraforge import commands
from infraforge.profile import Profile, names
from infraforge.sabotage import case
from infraforge.selftests.pages import (
    PAGES,
    ROOT,
    anchors,
    calls,
    inline_code,
    links,
    module,
    prose,
    shell_lines,
)

IDS = [str(page.relative_to(ROOT)) for page in PAGES]
PLACEHOLDER = re.compile(r"^(?:[A-Z]+|\{.*\}|…|\.\.\.)$")

each_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


# links


@each_page
def test_relative_links_and_anchors_resolve(page: Path) -> None:
    wrong = []
    for link in links(page):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


def test_a_link_to_nowhere_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One, two\n[x](b.md) [y](#one-two) [z](#three)\n```sh\n[q](r)\n```\n")
    assert links(page) == ["b.md", "#one-two", "#three"]
    assert anchors(page) == {"one-two"}
    with pytest.raises(AssertionError, match=re.escape("['b.md', '#three']")):
        test_relative_links_and_anchors_resolve(page)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        waiting += [one for one in targets if one.suffix == ".md" and one not in reached]
    assert set(PAGES) - reached == set()


def test_the_architecture_names_every_part_once() -> None:
    """Whoever has only `ls` finds in it what each file and folder of the package is about."""
    page = prose(ROOT / "ARCHITECTURE.md")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    parts = [*(ROOT / "infraforge").glob("*.py"), *(ROOT / "infraforge").glob("*/__init__.py")]
    wanted = [
        path.name if path.parent.name == "infraforge" else f"infraforge/{path.parent.name}/"
        for path in parts
        if path != ROOT / "infraforge" / "__init__.py"
    ]
    assert sorted(name for name in named if name in wanted) == sorted(wanted)
    odd = [name for name in named if name.endswith(".py") and name not in wanted]
    assert not odd


# README


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_readmes_two_commands_are_what_ci_runs() -> None:
    run = (ROOT / ".ci" / "run").read_text().splitlines()
    wanted = [line for line in run if line.startswith("./bootstrap")]
    assert [line for line in shell_lines(ROOT / "README.md") if line.startswith("./boot")] == wanted


def test_the_readmes_figures_are_those_of_the_tree() -> None:
    figures = module("docs/figures.py")
    text = (ROOT / "README.md").read_text()
    assert figures.written(text) == text, "run: python docs/figures.py"


def test_the_readmes_table_of_profiles_is_that_of_the_tree() -> None:
    rows = re.findall(
        r"^\| `(\w[\w-]*)` \| .* \| (.*) \|$", prose(ROOT / "README.md"), re.MULTILINE
    )
    told = {name: "proved" in state for name, state in rows}
    profiles = [Profile.load(name, ROOT / "platform") for name in names(ROOT / "platform")]
    assert told == {one.name: one.deployable for one in profiles}


# what is named exists


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser, by name."""
    return {
        name: each
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, each in action.choices.items()
    }


def trouble_with(argv: list[str]) -> str:
    """What is wrong with a call of `infraforge`, placeholders aside; "" for nothing."""
    parser: argparse.ArgumentParser = commands.parser()
    while argv and argv[0] in parsers(parser):
        parser = parsers(parser)[argv[0]]
        argv = argv[1:]
    if parsers(parser) and argv and not argv[0].startswith("-"):
        if PLACEHOLDER.match(argv[0]):
            return ""
        return f"there is no command {argv[0]!r}"
    known = {option for action in parser._actions for option in action.option_strings}
    odd = [word for word in argv if word.startswith("-") and word != "--"]
    odd = [word for word in odd if word.partition("=")[0] not in known]
    if odd:
        return f"there is no option {odd[0]}"
    return wrong_values(parser, argv)


def wrong_values(parser: argparse.ArgumentParser, argv: list[str]) -> str:
    """A profile, a sabotage or a choice in the call that does not exist."""
    profiles = names(ROOT / "platform")
    for option, value in itertools.pairwise(argv):
        if option == "--profile" and not PLACEHOLDER.match(value) and value not in profiles:
            return f"there is no profile {value!r}"
    choices = {
        choice
        for action in parser._actions
        if not action.option_strings and action.choices
        for choice in action.choices
    }
    first = argv[0] if argv and not argv[0].startswith("-") else ""
    if choices and first and not PLACEHOLDER.match(first) and first not in choices:
        return f"{first!r} is none of {', '.join(sorted(choices))}"
    if parser.prog.endswith(" sabotage"):
        known = case.names(ROOT / "chaos" / "sabotages")
        valued = {name for one in parser._actions if one.nargs != 0 for name in one.option_strings}
        after = itertools.pairwise(["", *argv])
        words = [word for before, word in after if word[0] != "-" and before not in valued]
        odd = [word for word in words if word not in known]
        odd = [word for word in odd if not PLACEHOLDER.match(word)]
        return f"there is no sabotage {odd[0]!r}" if odd else ""
    return ""


@each_page
def test_every_command_named_exists(page: Path) -> None:
    assert [(argv, why) for argv in calls(page, "infraforge") if (why := trouble_with(argv))] == []


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("up --profile minimal", ""),
        ("images pin coredns", ""),
        ("bench standup", ""),
        ("sabotage cache-never-filled --alone", ""),
        ("password USER", ""),
        ("uppp", "no command 'uppp'"),
        ("images pinn", "no command 'pinn'"),
        ("up --profil minimal", "no option --profil"),
        ("up --profile tiny", "no profile 'tiny'"),
        ("sabotage cache-often-filled", "no sabotage 'cache-often-filled'"),
        ("bench lunch", "'lunch' is none of"),
    ],
)
def test_a_command_that_is_none_would_be_noticed(call: str, why: str) -> None:
    assert why in trouble_with(call.split())
    assert bool(trouble_with(call.split())) == bool(why)


@each_page
def test_every_environment_of_tox_named_exists(page: Path) -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    known = set()
    for section in tox.sections():
        plain = section.removeprefix("testenv:")
        known |= set(plain.strip("{}").split(","))
    named = {argv[argv.index("-e") + 1] for argv in calls(page, "tox") if "-e" in argv}
    assert named <= known


def test_every_option_of_pytest_named_exists(pytestconfig: pytest.Config) -> None:
    used = {
        word.partition("=")[0]
        for page in PAGES
        for call in calls(page, "pytest")
        for word in call
        if word.startswith("-") and word != "--"
    }
    assert {"--profile", "--kubeconfig", "-n"} <= used
    for option in used:
        pytestconfig.getoption(option)  # ValueError for one that nobody has added
    with pytest.raises(ValueError, match="--profil'"):
        pytestconfig.getoption("--profil")


@each_page
def test_every_file_and_test_named_exists(page: Path) -> None:
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"reports", "build", "dist"}
    wrong = []
    for code in inline_code(page):
        place, _, test = code.partition("::")
        if place.split("/")[0] not in tops or "/" not in place or not place.isprintable():
            continue
        if re.search(r"[ *{}…]|\b[A-Z]{2,}\b", place):  # a placeholder, or a command
            continue
        if not (ROOT / place).exists() or (test and not case.has_test(ROOT, code)):
            wrong.append(code)
    nodes = re.findall(r"\b(?:suites|chaos|infraforge)/[\w/]+\.py::\w+", page.read_text())
    wrong += [node for node in nodes if not case.has_test(ROOT, node)]
    assert not wrong


@each_page
def test_every_sabotage_named_exists(page: Path) -> None:
    named = re.findall(r"[Ss]abotages? `([a-z-]+)`", page.read_text())
    assert set(named) <= set(case.names(ROOT / "chaos" / "sabotages"))


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    epilog = str(commands.parser().epilog)
    known = {int(code) for code in re.findall(r"(?:^|:|·)\s+(\d+) ", epilog, re.MULTILINE)}
    rows = re.findall(r"^\| (\d+) \| .+ \|$", prose(ROOT / "docs" / "using.md"), re.MULTILINE)
    told = {int(code) for code in rows}
    assert {0, 1, 2, 3, 64} <= known <= told
    short = {int(code) for code in re.findall(r"\*\*(\d+)\*\*", prose(ROOT / "README.md"))}
    assert short <= told


def test_every_suite_has_its_claims() -> None:
    text = prose(ROOT / "docs" / "proofs.md")
    suites = {path.parent.name for path in (ROOT / "suites").glob("*/test_*.py")}
    assert set(re.findall(r"^### .*\(`suites/(\w+)`", text, re.MULTILINE)) == suites


def test_the_map_of_folders_is_whole() -> None:
    rows = re.findall(r"^\| (`.*?) \|", prose(ROOT / "ARCHITECTURE.md"), re.MULTILINE)
    told = {place for row in rows for place in re.findall(r"`([^`]+)/`", row)}
    folders = {path.parent for path in (ROOT / "infraforge").glob("*/__init__.py")}
    left_out = {"infraforge/bench"}
    assert {str(path.relative_to(ROOT)) for path in folders} - told - left_out == set()
