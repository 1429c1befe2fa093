"""Images as others publish them: `HOST/PATH:TAG` in the catalogue, by digest in `upstream.toml`.

A tag can move, a digest cannot: only images with a recorded digest are copied, and only `pin`
records one, as a change that somebody reviews. Registries are reached with this machine's own
settings: containers-registries.conf(5), containers-certs.d(5), containers-auth.json(5).
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
    """Upstream reference → `sha256:…`, as recorded."""
    path = _path(catalogue)
    if not path.exists():
        return {}
    try:
        recorded = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    return {str(key): str(value) for key, value in recorded.items()}


def source(name: str, catalogue: Catalogue) -> str:
    """`HOST/PATH@sha256:…` to copy the image from; "" where none is named or pinned."""
    upstream = catalogue[name].upstream
    digest = pins(catalogue).get(upstream, "") if upstream else ""
    return f"{upstream.rpartition(':')[0]}@{digest}" if digest else ""


def answers(reference: str) -> bool:
    """Whether a registry within this machine's reach has the image."""
    return _digest(reference)[0] != ""


def pin(names: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """Record the digests that the named images' upstream tags have now; image → digest.

    Raises UsageError, and writes nothing, where a registry does not answer with a digest.
    """
    digests = {}
    known = dict(pins(catalogue))
    for name in names:
        upstream = catalogue[name].upstream
        if not upstream:
            continue
        digest, said = _digest(upstream)
        if not digest:
            raise UsageError(f"{upstream}: {said}")
        digests[name] = known[upstream] = digest
    named = {image.upstream for image in catalogue.images.values()}
    lines = [f'"{key}" = "{value}"\n' for key, value in sorted(known.items()) if key in named]
    _path(catalogue).write_text(_HEAD + "".join(lines))
    return digests


def _digest(reference: str) -> tuple[str, str]:
    """The reference's digest and ""; or "" and the reason why there is none."""
    argv = ["skopeo", "inspect", "--no-tags", "--format={{.Digest}}", f"docker://{reference}"]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_REACH_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode == 0:
        return done.stdout.strip(), ""
    message = re.search(r'msg="(.*)"', done.stderr)
    return "", message[1].replace('\\"', '"') if message else done.stderr.strip()


def _path(catalogue: Catalogue) -> Path:
    return catalogue.tree / "images" / "upstream.toml"
