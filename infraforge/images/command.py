"""`infraforge images list|build|push`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infraforge.images import build, progress, push
from infraforge.images.cache import cache_dir, image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands; the chosen one is found in `options.images`."""
    commands = parser.add_subparsers(dest="images", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="what there is, what is built, what is pushed")
    listing.add_argument("--json", action="store_true", help="as JSON, with packages and digests")
    building = commands.add_parser("build", help="build what its content hash says is new")
    pushing = commands.add_parser("push", help="copy built images into the local registry")
    for command in (listing, building, pushing):
        command.add_argument("names", nargs="*", metavar="NAME", help="only these images")
        command.add_argument("--profile", help="only what this profile needs")


def run(options: argparse.Namespace, tree: Path, ca_file: Callable[[], Path]) -> int:
    """Do what was asked; the exit code.

    ca_file: gives the certificate that vouches for the registry, which must be running to push.
    """
    catalogue = Catalogue.load(tree)
    names = _chosen(options, catalogue)
    if options.images == "list":
        return _list(names, catalogue, as_json=options.json)
    started = time.monotonic()
    with progress.shown() as say:
        if options.images == "build":
            done = build.build(names, catalogue, say)
            what = f"{len(done)} images are built"
        else:
            digests = push.push(names, catalogue, ca_file(), say)
            what = f"{len(digests)} images are in the registry"
    print(f"{what} ({time.monotonic() - started:.0f} s; {cache_dir()})")
    return 0


def needed_by(profile: Profile, catalogue: Catalogue) -> list[str]:
    """The images of the cluster itself and of the profile's components."""
    return [*catalogue.system(), *catalogue.deployed(profile.components)]


def _chosen(options: argparse.Namespace, catalogue: Catalogue) -> Sequence[str]:
    if options.names:
        return [catalogue[name].name for name in options.names]
    if options.profile:
        return needed_by(Profile.load(options.profile, catalogue.tree), catalogue)
    return list(catalogue.images)


def _list(names: Sequence[str], catalogue: Catalogue, *, as_json: bool) -> int:
    missing = set(build.missing(names, catalogue))
    rows = [_row(name, catalogue, built=name not in missing) for name in names]
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(box=None)
    for title in ("image", "content", "built", "MB", "digest in the registry"):
        table.add_column(title, justify="right" if title == "MB" else "left", no_wrap=True)
    for row in rows:
        size = f"{row['size'] / 1e6:.0f}" if "size" in row else ""
        digest = str(row.get("digest", "local" if catalogue[str(row["name"])].local else ""))
        built = str(row.get("built_at", "no"))
        table.add_row(str(row["reference"]), str(row["hash"])[:12], built, size, digest[:19])
    Console().print(table)
    return 0


def _row(name: str, catalogue: Catalogue, *, built: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "reference": catalogue.reference(name),
        "hash": catalogue.content_hash(name),
        "built": built,
    }
    if built:
        record = build.record(name, catalogue)
        row |= {"built_at": record.built_at, "seconds": record.seconds, "size": record.size}
        row |= {"packages": dict(record.packages)}
        note = image_dir(name) / f"{record.hash}.digest"
        if note.exists():
            row["digest"] = note.read_text().strip()
    return row
