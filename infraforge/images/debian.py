"""Base images from Debian packages, and what packages an image holds.

The archive is the one this machine's apt uses; debootstrap verifies its signature and stops
where it cannot.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images.steps import Steps

_EMPTIED = (
    *("var/lib/apt/lists", "var/cache/apt"),
    *("usr/share/locale", "usr/share/man", "usr/share/info"),
)


def bootstrap(suite: str, recipe: Path, work: Path, tag: str, steps: Steps) -> None:
    """Make the image `tag` of a Debian suite's essential packages.

    recipe: folder with `apt.conf` and `dpkg.cfg`, which hold for images made from this one too,
    and a Dockerfile that brings what debootstrap made up to date; work: an empty folder.
    Raises UsageError without root, BuildError when a step fails.
    """
    if os.geteuid() != 0:
        raise UsageError("base images are made by debootstrap, which needs root: run this as root")
    root = work / "root"
    argv = ["debootstrap", "--variant=minbase", "--force-check-gpg", "--include=ca-certificates"]
    archive_site = _site("Debian")
    if not archive_site:
        raise UsageError("apt knows no Debian archive; run: apt-get update")
    steps.run("debootstrap", [*argv, suite, str(root), archive_site], work)
    if security := _site("Debian-Security"):
        source = f"deb {security} {suite}-security main\n"
        (root / "etc/apt/sources.list.d/security.list").write_text(source)
    shutil.copyfile(recipe / "dpkg.cfg", root / "etc/dpkg/dpkg.cfg.d/infraforge")
    shutil.copyfile(recipe / "apt.conf", root / "etc/apt/apt.conf.d/90infraforge")
    _slim(root)
    archive = work / "root.tar"
    steps.run("tar", ["tar", "-C", str(root), "-cf", str(archive), "."], work)
    raw = f"{tag}-raw"
    steps.docker("docker import", "import", str(archive), raw)
    # out as an archive and in again: what was replaced would still be in a layer below
    argv = ["build", "--progress=plain", f"--output=type=tar,dest={archive}"]
    steps.docker("security updates", *argv, "--build-arg", f"BASE={raw}", str(recipe))
    steps.docker("untag", "image", "rm", raw)
    steps.docker("docker import", "import", "-c", "LABEL infraforge=image", str(archive), tag)


def discard(folder: Path) -> None:
    """Remove the leftovers of an interrupted build; debootstrap may have left /proc mounted there.

    What an orphaned process still holds stays until the next time.
    """
    inside = f"{folder.resolve()}/"
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted(filter(lambda one: one.startswith(inside), mounts), reverse=True):
        if subprocess.run(["umount", mount], capture_output=True, check=False).returncode != 0:
            return
    shutil.rmtree(folder, ignore_errors=True)


def packages(tag: str, steps: Steps) -> Mapping[str, str]:
    """Debian packages of an image → version."""
    argv = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=/usr/bin/dpkg-query", tag]
    printed = steps.docker("list packages", *argv, "-W", "-f", "${Package} ${Version}\n")
    return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)


def _slim(root: Path) -> None:
    """Drop what a container never reads; the licences stay."""
    for folder in _EMPTIED:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir()
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    for path in (root / "usr/share/doc").rglob("*"):
        if path.is_file() and path.name != "copyright":
            path.unlink()


def _site(label: str) -> str:
    """The address of the archive of this label that this machine's own apt uses; "" for none."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    found = subprocess.run([*argv, f"Label: {label}"], capture_output=True, text=True, check=False)
    return next(iter(found.stdout.split()), "")
