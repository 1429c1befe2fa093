"""Images as others publish them: `HOST/PATH:TAG` in the catalogue, by digest in `upstream.toml`.

A tag may be moved, a digest cannot: only an image whose digest is written down is ever copied, and
only `pin`, whose change to the file somebody reviews, writes one down. Registries are asked as this
machine is set up to: containers-registries.conf(5), containers-certs.d(5), containers-auth.json(5).
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images.catalogue import Catalogue

_REACH_SECONDS = 20
_HEAD = """\
# Digests of the upstream images that images.toml names; written by `infraforge images pin`.

"""


def pins(catalogue: Catalogue) -> Mapping[str, str]:
    """Upstream reference → `sha256:…`, as written down."""
    path = _path(catalogue)
    if not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    return {str(key): str(value) for key, value in found.items()}


def source(name: str, catalogue: Catalogue) -> str:
    """`HOST/PATH@sha256:…` to copy the image from; "" where none is named or pinned."""
    upstream = catalogue[name].upstream
    digest = pins(catalogue).get(upstream, "") if upstream else ""
    return f"{upstream.rpartition(':')[0]}@{digest}" if digest else ""


def answers(reference: str) -> bool:
    """Whether a registry that this machine reaches has it."""
    return _digest(reference)[0] != ""


def pin(names: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """Write down what the named images' upstream tags mean now; the digests by image.

    Raises UsageError, and writes nothing, where a registry does not say.
    """
    found = {}
    known = dict(pins(catalogue))
    for name in names:
        upstream = catalogue[name].upstream
        if not upstream:
            continue
        digest, said = _digest(upstream)
        if not digest:
            raise UsageError(f"{upstream}: {said}")
        found[name] = known[upstream] = digest
    named = {image.upstream for image in catalogue.images.values()}
    lines = [f'"{key}" = "{value}"\n' for key, value in sorted(known.items()) if key in named]
    _path(catalogue).write_text(_HEAD + "".join(lines))
    return found


def _digest(reference: str) -> tuple[str, str]:
    """Its digest, or "" and what was said instead."""
    argv = ["skopeo", "inspect", "--no-tags", "--format={{.Digest}}", f"docker://{reference}"]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_REACH_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode == 0:
        return done.stdout.strip(), ""
    found = re.search(r'msg="(.*)"', done.stderr)
    return "", found[1].replace('\\"', '"') if found else done.stderr.strip()


def _path(catalogue: Catalogue) -> Path:
    return catalogue.tree / "images" / "upstream.toml"
