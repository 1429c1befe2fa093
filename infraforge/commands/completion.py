"""`infraforge completion`: a shell's completion script, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shtab

from infraforge import stack
from infraforge.commands.password import users
from infraforge.profile import names as profiles
from infraforge.sabotage import case
from infraforge.sabotage.command import CASES

_SHELLS = ("bash", "zsh", "fish")
_HOW_TO_COMPLETE = """\
bash:  infraforge completion bash > ~/.local/share/bash-completion/completions/infraforge
zsh:   infraforge completion zsh > ~/.zfunc/_infraforge     (with ~/.zfunc in fpath)
fish:  infraforge completion fish > ~/.config/fish/completions/infraforge.fish
"""


def configure(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; it sets `run`. whole: what completion is for."""
    parser = commands.add_parser(
        "completion",
        help="print a shell's completion script",
        epilog=_HOW_TO_COMPLETE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS)
    parser.set_defaults(run=lambda options: _completion(options.shell, whole))


def _completion(shell: str, whole: argparse.ArgumentParser) -> int:
    for parser, action in _actions(whole):
        if action.dest == "profile":
            action.choices = profiles(stack.TREE)
        elif action.dest == "user":
            action.choices = users()
        elif action.dest == "names" and parser.prog.endswith(" sabotage"):
            action.choices = case.names(CASES)
        elif _is_path(action):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(whole, shell=shell))
    return 0


def _actions(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """The options of a parser and of all below it, each with the parser that has it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in {id(one): one for one in action.choices.values()}.values():
                yield from _actions(below)
        else:
            yield parser, action


def _is_path(action: argparse.Action) -> bool:
    return action.type is Path or getattr(action.type, "__name__", "") in (
        "readable_file",
        "writable_file",
        "folder",
    )
