"""`infraforge certificates`: what is shown now, and new ones while requests flow."""

from __future__ import annotations

import argparse
import contextlib
import time

from rich.console import Console
from rich.table import Table

from infraforge import progress, stack
from infraforge.errors import UsageError
from infraforge.probes import certificates

_EPILOG = """\
look, renew two, renew all:
  infraforge certificates status
  infraforge certificates renew ingress postgres
  infraforge certificates renew
another CA, in three phases (both are trusted; the new one issues; the old one is trusted no more):
  infraforge certificates renew --ca

Most components take a new certificate up while they run; of the others a new pod is there before
the old one goes. Either way no request fails, and the command ends only when every pod shows its
new certificate. Killed half-way, run it again: a change of the CA goes on where it was, and all
else is done anew. `infraforge up` renews by itself what is within a week of its end, but never
the CA.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("do", choices=("status", "renew"))
    parser.add_argument("components", nargs="*", metavar="COMPONENT", help="by default all")
    parser.add_argument("--ca", action="store_true", help="renew the CA, and so all of them")


def run(options: argparse.Namespace) -> int:
    """Look (1 when one is not what it should be), or renew."""
    if options.components and (options.ca or options.do == "status"):
        raise UsageError("that is of all components; name none")
    if options.do == "renew":
        return _renew(options)
    platform = stack.attach(options.name)
    with contextlib.closing(platform.site):
        shown = certificates.shown(platform.site)
    authority = platform.site.authority.certificate
    print(
        f"CA {authority.serial_number:x}, in force until {authority.not_valid_after_utc:%Y-%m-%d}"
    )
    phase = stack.ca_phase(options.name)
    if phase:
        again = f"infraforge certificates renew --ca --name {options.name}"
        print(f"it is being replaced, in phase {phase}; go on: {again}")
    table = Table(box=None)
    for title in ("pod and port", "shows one that is"):
        table.add_column(title)
    for place, what in shown.items():
        table.add_row(place, "not seen" if what is None else str(what))
    Console().print(table)
    return 0 if set(shown.values()) == {certificates.LONG} and not phase else 1


def _renew(options: argparse.Namespace) -> int:
    began = time.monotonic()
    with progress.shown() as say:
        if options.ca:
            stack.replace_ca(options.name, progress=say)
            said = "the CA is another one, and no component trusts the old one"
        else:
            done = stack.renew(options.name, options.components, progress=say)
            said = f"{len(done)} components show new certificates"
    print(f"{said}, after {time.monotonic() - began:.1f} s")
    return 0
