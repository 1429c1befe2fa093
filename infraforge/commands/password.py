"""`infraforge password`: the password of one of the platform's own users."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from infraforge import stack
from infraforge.commands import options as common
from infraforge.components import vault_identity
from infraforge.components.vault_identity import Identities
from infraforge.errors import UsageError


def configure(commands: Any) -> None:
    """Add the command to the subparsers; it sets `run`."""
    parser = commands.add_parser(
        "password", help="print the password of one of the platform's own users, and nothing else"
    )
    parser.add_argument("user", metavar="USER", help="the name of the user: ada, for instance")
    common.platform(parser)
    parser.set_defaults(run=_password)


def _password(options: argparse.Namespace) -> int:
    known = users()
    if options.user not in known:
        raise UsageError(f"there is no user {options.user!r}; there are: {', '.join(known)}")
    platform = stack.attach(common.name_of(options))
    with contextlib.closing(platform.site) as site:
        print(vault_identity.password(site, options.user))
    return 0


def users() -> list[str]:
    """Names of the platform's own users."""
    return [user.name for user in Identities.load(stack.TREE).users]
