"""The only part of making images that needs root: debootstrap and the slimming of its tree.

`debian` runs `python -m infraforge.images.rooted` as root, through sudo where needed. The result is
one archive, which belongs to the calling user; the tree is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infraforge import entry

_EMPTIED = (
    *("var/lib/apt/lists", "var/cache/apt"),
    *("usr/share/locale", "usr/share/man", "usr/share/info"),
)


def main() -> int:
    """Parse the arguments and make the archive; returns the exit code."""
    # traces go where every user may read: root must not write into the user's own folders
    return entry.guard("infraforge.images.rooted", _run, lambda: Path(tempfile.gettempdir()))


def _run() -> int:
    parser = entry.Parser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("site", help="the archive's address")
    parser.add_argument("--security", default="", help="the address of its security updates")
    parser.add_argument("--recipe", type=Path, required=True, help="folder of apt.conf, dpkg.cfg")
    parser.add_argument("--tree", type=Path, required=True, help="made, packed, then removed")
    parser.add_argument("--archive", type=Path, required=True, help="the packed tree")
    parser.add_argument("--owner", default="", metavar="UID:GID", help="owner of the archive")
    chosen = parser.parse_args()
    try:
        _make(chosen.tree, chosen.suite, chosen.site, chosen.security, chosen.recipe)
        argv = ["tar", "-C", str(chosen.tree), "-cf", str(chosen.archive), "."]
        code = subprocess.run(argv, check=False).returncode
        if code == 0 and chosen.owner:
            os.chown(chosen.archive, *(int(part) for part in chosen.owner.split(":")))
        return code
    finally:
        remove(chosen.tree)


def _make(tree: Path, suite: str, site: str, security: str, recipe: Path) -> None:
    argv = ["debootstrap", "--variant=minbase", "--force-check-gpg", "--include=ca-certificates"]
    subprocess.run([*argv, suite, str(tree), site], check=True)
    if security:
        source = f"deb {security} {suite}-security main\n"
        (tree / "etc/apt/sources.list.d/security.list").write_text(source)
    shutil.copyfile(recipe / "dpkg.cfg", tree / "etc/dpkg/dpkg.cfg.d/infraforge")
    shutil.copyfile(recipe / "apt.conf", tree / "etc/apt/apt.conf.d/90infraforge")
    _slim(tree)


def _slim(root: Path) -> None:
    """Remove files that a container never reads; licences stay."""
    for folder in _EMPTIED:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir()
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    for path in (root / "usr/share/doc").rglob("*"):
        if path.is_file() and path.name != "copyright":
            path.unlink()


def remove(folder: Path) -> None:
    """Remove a tree made by debootstrap, which may have left /proc mounted there.

    What an orphaned process still uses stays until the next attempt.
    """
    for mount in mounted(folder):
        if subprocess.run(["umount", mount], capture_output=True, check=False).returncode != 0:
            return
    shutil.rmtree(folder, ignore_errors=True)


def mounted(folder: Path) -> list[str]:
    """Mount points in the folder, innermost first."""
    inside = f"{folder.resolve()}/"
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((mount for mount in mounts if mount.startswith(inside)), reverse=True)


if __name__ == "__main__":
    sys.exit(main())
