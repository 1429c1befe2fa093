"""Base images from Debian packages, and what packages an image holds.

The archive is the one this machine's apt uses; debootstrap verifies its signature and stops
where it cannot. It wants root: a user who is not asks sudo, which must not want a password.
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
    "base images are made by debootstrap, which takes root, and sudo is not here or wants a "
    "password: run as root, or say `sudo -v` first"
)
_PACKAGE = Path(__file__).parents[2]
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def as_root() -> list[str] | None:
    """What goes before a command that root is to run; None where there is no way to that."""
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
    """Raise UsageError, before anything is begun, when an image takes root that cannot be had."""
    if any(image.debootstrap for image in todo) and as_root() is None:
        raise UsageError(NO_ROOT)


def bootstrap(suite: str, recipe: Path, work: Path, tag: str, steps: Steps) -> None:
    """Make the image `tag` of a Debian suite's essential packages.

    recipe: folder with `apt.conf` and `dpkg.cfg`, which hold for images made from this one too,
    and a Dockerfile that brings what debootstrap made up to date; work: an empty folder.
    Raises UsageError where there is no way to root, BuildError when a step fails.
    """
    before = as_root()
    if before is None:
        raise UsageError(NO_ROOT)
    site = _site("Debian")
    if not site:
        raise UsageError("apt knows no Debian archive; run: apt-get update")
    archive = work / "root.tar"
    # -B: nothing of root's is left in this checkout
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
    # out as an archive and in again: what was replaced would still be in a layer below
    argv = ["build", "--progress=plain", f"--output=type=tar,dest={archive}"]
    steps.docker("security updates", *argv, "--build-arg", f"BASE={raw}", str(recipe))
    steps.docker("untag", "image", "rm", raw)
    steps.docker("docker import", "import", "-c", "LABEL infraforge=image", str(archive), tag)


def discard(folder: Path) -> None:
    """Remove the leftovers of an interrupted build, root's own among them."""
    if not folder.exists():
        return
    rooted.remove(folder)
    before = as_root()
    if folder.exists() and before:  # what is root's, or mounted
        for mount in rooted.mounted(folder):
            subprocess.run([*before, "umount", mount], capture_output=True, check=False)
        if not rooted.mounted(folder):
            argv = [*before, "rm", "-rf", "--one-file-system", str(folder)]
            subprocess.run(argv, capture_output=True, check=False)


def packages(tag: str, steps: Steps) -> Mapping[str, str]:
    """Debian packages of an image → version."""
    argv = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=/usr/bin/dpkg-query", tag]
    printed = steps.docker("list packages", *argv, "-W", "-f", "${Package} ${Version}\n")
    return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)


def _site(label: str) -> str:
    """The address of the archive of this label that this machine's own apt uses; "" for none."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    found = subprocess.run([*argv, f"Label: {label}"], capture_output=True, text=True, check=False)
    return next(iter(found.stdout.split()), "")
