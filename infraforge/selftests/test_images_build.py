"""Building images: order, errors, display and use of the disk; no runtime needed."""

from __future__ import annotations

import io
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from infraforge import progress
from infraforge.errors import UsageError
from infraforge.images import build, cache, context, debian, disk
from infraforge.images.catalogue import Catalogue, Image
from infraforge.images.errors import BuildError
from infraforge.images.steps import Steps
from infraforge.progress import Done
from infraforge.wait import wait_until

TREE = Path(__file__).parents[2] / "platform"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_images_are_built_in_the_order_of_their_programs() -> None:
    base = Image(name="base", version="1", debootstrap="trixie")
    late = Image(name="late", version="1", base="base", modules=("second",))
    upon = Image(name="upon", version="1", base="late")
    soon = Image(name="soon", version="1", modules=("first",))
    ordered = build.by_wait([base, late, upon, soon], ["first", "second"])
    assert [image.name for image in ordered] == ["base", "soon", "late", "upon"]


def test_a_failed_step_names_image_step_last_lines_and_log() -> None:
    steps = Steps("app")
    steps.begin()
    steps.run("first", ["echo", "fine"])
    with pytest.raises(BuildError) as caught:
        steps.run("second", ["sh", "-c", "for n in $(seq 30); do echo line $n >&2; done; exit 3"])
    error = caught.value
    assert (error.image, error.step) == ("app", "second")
    assert error.tail[-1] == "line 30"
    assert len(error.tail) < 30
    assert "line 1\n" in error.log.read_text()
    assert str(error.log) in str(error)


def test_a_missing_program_is_a_failed_step_too() -> None:
    with pytest.raises(BuildError, match=r"no-such-program.*is it installed"):
        Steps("app").run("start", ["no-such-program"])


def test_a_log_covers_one_build() -> None:
    steps = Steps("app")
    steps.run("old", ["echo", "yesterday"])
    steps.begin()
    steps.run("new", ["echo", "today"])
    text = cache.log_path("app").read_text()
    assert "today" in text
    assert "yesterday" not in text


def test_an_image_that_was_never_built_is_reported() -> None:
    with pytest.raises(UsageError, match="infraforge images build pause"):
        build.record("pause", Catalogue.load(TREE))


def test_too_small_a_disk_is_refused_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(100e9, 91e9, 9e9))
    catalogue = Catalogue.load(TREE)
    disk.check_room([catalogue["python"]], catalogue)
    with pytest.raises(
        UsageError, match=r"9 GB free, but building .* needs \d+ GB.*INFRAFORGE_CACHE"
    ):
        disk.check_room([catalogue["vault"], catalogue["cilium"]], catalogue)


def test_plain_lines_say_what_began_and_how_it_ended() -> None:
    stream = io.StringIO()
    with progress.shown(stream) as say:
        say("vault", "compile")
        say("vault", Done("built in 3 s"))
    began, ended = stream.getvalue().splitlines()
    assert began.endswith("vault: compile")
    assert ended.endswith("vault: built in 3 s")


def test_a_long_step_is_repeated_in_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REMIND", 0.01)
    stream = io.StringIO()
    with progress.shown(stream) as say:
        say("vault", "compile")
        wait_until(lambda: "vault: still compile, for" in stream.getvalue(), within=5)


def test_modes_in_an_image_do_not_depend_on_the_builders_umask(tmp_path: Path) -> None:
    tree = tmp_path / "platform"
    contents = {
        "images/images.toml": 'prefix = "a/b"\n[images.app]\nversion = "1"\napps = ["apps/app"]',
        "images/app/Dockerfile": "FROM scratch",
        "images/app/start": "",
        "apps/app/folder/main.py": "",
        "apps/app/__pycache__/main.pyc": "",
    }
    mask = os.umask(0o077)
    try:
        for name, text in contents.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        (tree / "images/app/start").chmod(0o700)
        catalogue = Catalogue.load(tree)
        folder = tmp_path / "context"
        folder.mkdir()
        context.assemble(catalogue["app"], catalogue, [], folder, Steps("app"))
    finally:
        os.umask(mask)
    modes = {str(p.relative_to(folder)): p.stat().st_mode & 0o777 for p in folder.rglob("*")}
    assert modes == {
        "Dockerfile": 0o644,
        "start": 0o755,
        "app": 0o755,
        "app/folder": 0o755,
        "app/folder/main.py": 0o644,
    }


def test_leftovers_of_an_interrupted_build_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "work-1"
    (left / "root/proc").mkdir(parents=True)
    debian.discard(left)
    assert not left.exists()
