"""`infraforge certificates`: show the certificates in use, and renew them while requests flow."""

from __future__ import annotations

import argparse
import contextlib
import time

from rich.console import Console
from rich.table import Table

from infraforge import progress, stack
from infraforge.errors import UsageError
from infraforge.probes import certificates

_DO = ("status", "renew")
_EPILOG = """\
show all, renew two, renew all:
  infraforge certificates status
  infraforge certificates renew ingress postgres
  infraforge certificates renew
replace the CA, in three phases (both trusted; the new one issues; the old one no longer trusted):
  infraforge certificates renew --ca

Most components load a new certificate while they run; the others get a new pod before the old one
goes. Either way no request fails, and the command ends only when every pod shows its new
certificate. If it was killed, run it again: a replacement of the CA resumes, everything else starts
over. `infraforge up` renews certificates within a week of their expiry, but never the CA.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options and subcommands."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "do", choices=_DO, metavar=f"{{{','.join(_DO)}}}", help="show them, or make them anew"
    )
    parser.add_argument(
        "components", nargs="*", default=[], metavar="COMPONENT", help="default: all"
    )
    parser.add_argument("--ca", action="store_true", help="replace the CA, and all certificates")


def run(options: argparse.Namespace) -> int:
    """Show them (1 when one is not as it should be), or renew."""
    if options.components and (options.ca or options.do == "status"):
        raise UsageError("status and --ca cover all components; name none")
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
        print(f"it is being replaced, in phase {phase}; to resume: {again}")
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
            said = "the CA was replaced, and no component trusts the old one"
        else:
            done = stack.renew(options.name, options.components, progress=say)
            said = f"{len(done)} components show new certificates"
    print(f"{said}, after {time.monotonic() - began:.1f} s")
    return 0
