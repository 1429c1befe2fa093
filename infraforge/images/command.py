"""`infraforge images list|build|push|pull|pin|sbom|export|import`."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infraforge import arguments, folders, progress
from infraforge.errors import UsageError
from infraforge.images import archive, build, push, sources, upstream
from infraforge.images.cache import cache_dir, image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile
from infraforge.profile import names as profiles
from infraforge.progress import Progress


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands; `options.images` holds the chosen one."""
    commands = parser.add_subparsers(dest="images", required=True, metavar="COMMAND")
    list_parser = commands.add_parser("list", help="list images: content, built, pushed")
    list_parser.add_argument(
        "--json", action="store_true", help="as JSON, with packages and digests"
    )
    build_parser = commands.add_parser("build", help="build images whose content hash is new")
    push_parser = commands.add_parser("push", help="copy built images into the local registry")
    pull_parser = commands.add_parser("pull", help="copy upstream images there, by digest")
    pin_parser = commands.add_parser("pin", help="record the present digests of upstream images")
    sbom_parser = commands.add_parser(
        "sbom", help="write what images contain (CycloneDX 1.6, JSON)"
    )
    sbom_parser.add_argument("names", nargs="+", metavar="NAME", help="the images to describe")
    sbom_parser.add_argument(
        "--out",
        type=arguments.folder,
        default=Path(),
        metavar="DIR",
        help="the folder to write NAME-VERSION.cdx.json to (default: the current folder)",
    )
    export_parser = commands.add_parser("export", help="write all images into one file")
    export_parser.add_argument(
        "file", type=arguments.writable_file, metavar="FILE", help="the file to write"
    )
    import_parser = commands.add_parser("import", help="read images from an exported file")
    import_parser.add_argument(
        "file", type=arguments.readable_file, metavar="FILE", help="the file to read"
    )
    import_parser.add_argument(
        "--registry",
        type=arguments.registry,
        metavar="PREFIX",
        help="push to this registry instead; nothing is installed on this machine",
    )
    for command in (list_parser, build_parser, push_parser, pull_parser, pin_parser):
        command.add_argument("names", nargs="*", metavar="NAME", help="only these images")
    for command in (list_parser, build_parser, push_parser, pull_parser, pin_parser, export_parser):
        command.add_argument("--profile", help="only the images that this profile needs")


@dataclass(frozen=True)
class Here:
    """What the commands use of this machine, each obtained only when needed.

    ca_file: starts the local registry and returns its CA certificate. programs: name → program
    that runs on the machine itself; places: name → where to put one that is imported.
    """

    ca_file: Callable[[], Path]
    programs: Callable[[], Mapping[str, Path]]
    places: Mapping[str, Path]


def run(options: argparse.Namespace, tree: Path, here: Here) -> int:
    """Run the chosen command; returns the exit code."""
    catalogue = Catalogue.load(tree)
    if options.images == "list":
        return _list(_chosen(options, catalogue), catalogue, as_json=options.json)
    if options.images == "sbom":
        return _sbom(_chosen(options, catalogue), catalogue, options.out)
    started = time.monotonic()
    with progress.shown() as say:
        what = _COMMANDS[options.images](options, catalogue, here, say)
    print(f"{what} ({time.monotonic() - started:.0f} s; {cache_dir()})")
    return 0


def _build(options: argparse.Namespace, catalogue: Catalogue, _here: Here, say: Progress) -> str:
    done = build.build(_chosen(options, catalogue), catalogue, say)
    return f"{len(done)} images are built"


def _push(options: argparse.Namespace, catalogue: Catalogue, here: Here, say: Progress) -> str:
    digests = push.push(_chosen(options, catalogue), catalogue, here.ca_file(), say)
    return f"{len(digests)} images are in the registry"


def _pull(options: argparse.Namespace, catalogue: Catalogue, here: Here, say: Progress) -> str:
    chosen = _chosen(options, catalogue)
    pinned = [name for name in chosen if upstream.source(name, catalogue)]
    odd = [name for name in options.names if name not in pinned]
    if odd:
        raise UsageError(
            f"{', '.join(odd)}: the catalogue names no upstream image by digest; where it "
            f"names one by tag, record the digest: infraforge images pin {' '.join(odd)}"
        )
    digests = sources.pull(pinned, catalogue, here.ca_file(), say) if pinned else {}
    return f"{len(digests)} of {len(chosen)} images are in the registry, copied from upstream"


def _pin(options: argparse.Namespace, catalogue: Catalogue, _here: Here, _say: Progress) -> str:
    if folders.installed():
        raise UsageError("digests are pinned in a checkout, where the change can be reviewed")
    found = upstream.pin(_chosen(options, catalogue), catalogue)
    return f"{len(found)} digests are written down: {', '.join(found)}"


def _export(options: argparse.Namespace, catalogue: Catalogue, here: Here, say: Progress) -> str:
    archive.refuse_foreign(options.file)  # before the hours that building may take
    names = _needed(options.profile, catalogue)
    plan = sources.plan(names, catalogue)
    plan.build(say)
    ca_file = here.ca_file()
    digests = plan.fill(ca_file, say)
    checksum = archive.export(
        options.file,
        names,
        catalogue,
        digests=digests,
        tools=here.programs(),
        ca_file=ca_file,
        progress=say,
    )
    size = options.file.stat().st_size / 1e6
    return f"{len(names)} images are in {options.file}, {size:.0f} MB, sha256 {checksum}"


def _import(options: argparse.Namespace, catalogue: Catalogue, here: Here, say: Progress) -> str:
    with contextlib.closing(archive.Archive(options.file)) as source:
        contents = source.fitting(catalogue)
        source.take_tools(here.places)
        if options.registry:
            with push.trusting(None) as registry:
                _push_all(
                    source, [c for c in contents if c.digest], registry, options.registry, say
                )
            return f"{len(contents)} images are in {options.registry}"
        for content in contents:
            if not content.digest:
                say(content.name, "loading")
                source.load(content)
                say(content.name, progress.Done("loaded"))
        with push.trusting(here.ca_file()) as registry:
            prefix = f"{push.REGISTRY}/{catalogue.prefix.partition('/')[2]}"
            _push_all(source, [c for c in contents if c.digest], registry, prefix, say)
    return f"{len(contents)} images are here"


def _push_all(
    source: archive.Archive,
    contents: Sequence[archive.Content],
    registry: push.Registry,
    prefix: str,
    say: Progress,
) -> None:
    for content in contents:
        say(content.name, "pushing")
        version = content.reference.rpartition(":")[2]
        source.push(content, registry, f"{prefix}/{content.name}:{version}")
        say(content.name, progress.Done(f"pushed {content.digest[:19]}"))


_COMMANDS: Mapping[str, Callable[[argparse.Namespace, Catalogue, Here, Progress], str]] = {
    "build": _build,
    "push": _push,
    "pull": _pull,
    "pin": _pin,
    "export": _export,
    "import": _import,
}


def _needed(profile: str | None, catalogue: Catalogue) -> list[str]:
    """The images that the profile needs, or all that any deployable profile needs."""
    known = [Profile.load(name, catalogue.tree) for name in profiles(catalogue.tree)]
    chosen = [p for p in known if p.deployable and profile in (None, p.name)]
    if not chosen:
        raise UsageError(f"there is no profile {profile!r} that can be stood up")
    wanted = {name for p in chosen for name in catalogue.needed_by(p.components)}
    return [name for name in catalogue.images if name in wanted]


def _chosen(options: argparse.Namespace, catalogue: Catalogue) -> Sequence[str]:
    if options.names:
        return [catalogue[name].name for name in options.names]
    if options.profile:
        return catalogue.needed_by(Profile.load(options.profile, catalogue.tree).components)
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


def _sbom(names: Sequence[str], catalogue: Catalogue, folder: Path) -> int:
    # imported late: other commands need not wait for the CycloneDX library
    from infraforge.images import contents, sbom  # noqa: PLC0415

    records = [build.record(name, catalogue) for name in dict.fromkeys(names)]
    lists = [contents.of(record, catalogue) for record in records]
    paths = sbom.write(zip(records, lists, strict=True), folder)
    for path, listed in zip(paths, lists, strict=True):
        gaps = "; ".join(listed.gaps)
        print(f"{path}: {len(listed.parts)} parts, {f'incomplete: {gaps}' if gaps else 'complete'}")
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
