"""Base images from Debian packages, and the list of packages in an image.

The archive is the one that this machine's apt uses; debootstrap verifies its signature and stops
where it cannot. It needs root: another user goes through sudo, which must not ask for a password.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images import rooted
from infraforge.images.catalogue import Image
from infraforge.images.steps import Steps

NO_ROOT = (
    "base images are made by debootstrap, which needs root, and sudo is missing or asks for a "
    "password: run as root, or run `sudo -v` first"
)
_PACKAGE = Path(__file__).parents[2]
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def as_root() -> list[str] | None:
    """The prefix that runs a command as root; None where there is no way to become root."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    if asked.returncode != 0:
        return None
    kept = ",".join(name for name in _PROXIES if name in os.environ)
    return ["sudo", "-n", *([f"--preserve-env={kept}"] if kept else [])]


def check_root(todo: Iterable[Image]) -> None:
    """Raise UsageError, before any work begins, when an image needs root and there is no way."""
    if any(image.debootstrap for image in todo) and as_root() is None:
        raise UsageError(NO_ROOT)


def bootstrap(suite: str, recipe: Path, work: Path, tag: str, steps: Steps) -> None:
    """Make the image `tag` from a Debian suite's essential packages.

    recipe: folder with `apt.conf` and `dpkg.cfg`, which also apply to images made from this one,
    and a Dockerfile that installs security updates; work: an empty folder.
    Raises UsageError where there is no way to become root, BuildError when a step fails.
    """
    before = as_root()
    if before is None:
        raise UsageError(NO_ROOT)
    site = _site("Debian")
    if not site:
        raise UsageError("apt knows no Debian archive; run: apt-get update")
    archive = work / "root.tar"
    # -B: root writes no bytecode into this checkout
    argv = [*before, sys.executable, "-B", "-m", rooted.__name__, suite, site]
    argv += [f"--security={_site('Debian-Security')}", f"--recipe={recipe}"]
    argv += [f"--tree={work / 'root'}", f"--archive={archive}"]
    argv += [f"--owner={os.getuid()}:{os.getgid()}"] if before else []
    try:
        steps.run("debootstrap", argv, _PACKAGE)
    finally:
        discard(work / "root")
    raw = f"{tag}-raw"
    steps.docker("docker import", "import", str(archive), raw)
    # exported and imported again: replaced files would otherwise remain in a layer below
    argv = ["build", "--progress=plain", f"--output=type=tar,dest={archive}"]
    steps.docker("security updates", *argv, "--build-arg", f"BASE={raw}", str(recipe))
    steps.docker("untag", "image", "rm", raw)
    steps.docker("docker import", "import", "-c", "LABEL infraforge=image", str(archive), tag)


def discard(folder: Path) -> None:
    """Remove the leftovers of an interrupted build, including those that belong to root."""
    if not folder.exists():
        return
    rooted.remove(folder)
    before = as_root()
    if folder.exists() and before:  # root's files, or mounts
        for mount in rooted.mounted(folder):
            subprocess.run([*before, "umount", mount], capture_output=True, check=False)
        if not rooted.mounted(folder):
            argv = [*before, "rm", "-rf", "--one-file-system", str(folder)]
            subprocess.run(argv, capture_output=True, check=False)


def packages(tag: str, steps: Steps) -> Mapping[str, str]:
    """Debian packages in an image → version."""
    argv = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=/usr/bin/dpkg-query", tag]
    printed = steps.docker("list packages", *argv, "-W", "-f", "${Package} ${Version}\n")
    return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)


def _site(label: str) -> str:
    """The address of the archive with this label that this machine's apt uses; "" for none."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    targets = subprocess.run(
        [*argv, f"Label: {label}"], capture_output=True, text=True, check=False
    )
    return next(iter(targets.stdout.split()), "")
