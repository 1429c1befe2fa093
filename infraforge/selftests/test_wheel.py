"""The wheel and the source distribution: what is in them, and that what is installed works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infraforge import folders
from infraforge.images.catalogue import Catalogue
from infraforge.report import harness

ROOT = Path(__file__).parents[2]
_DATA = "infraforge/_data/"
_BESIDE = {"conftest.py", "pyproject.toml"}
_BUILD = "from setuptools import build_meta as b; b.build_sdist('out'); b.build_wheel('out')"


@dataclass(frozen=True)
class Built:
    """Both distributions. place: where the wheel is installed, with nothing else."""

    wheel: Path
    sdist: Path
    place: Path

    @property
    def data(self) -> Path:
        return self.place / "infraforge" / "_data"

    def run(self, *argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A Python that finds the installed wheel before this checkout."""
        return subprocess.run(
            [sys.executable, *argv],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(self.place), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


def tracked() -> set[str]:
    """What is under version control, new files included, as the next commit would have it."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built offline from a copy of the tracked files, among leftovers that must not be shipped."""
    work = tmp_path_factory.mktemp("wheel")
    source, out = work / "source", work / "source" / "out"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    for left in (
        "platform/apps/frontend/node_modules/x/index.js",
        "platform/apps/frontend/dist/index.html",
        "suites/access/__pycache__/test_x.pyc",
        "reports/runs/20261127T201500Z-1a2b3c/index.json",
        "build/lib/infraforge/_data/platform/profiles/gone.toml",
    ):
        (source / left).parent.mkdir(parents=True, exist_ok=True)
        (source / left).write_text("left over")
    out.mkdir()
    argv = [sys.executable, "-c", _BUILD]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    place = work / "installed"
    argv = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    argv += ["--disable-pip-version-check", "--target", str(place), str(wheel)]
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Built(wheel, sdist, place)


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder outside any checkout."""
    (tmp_path / "away").mkdir()
    return tmp_path / "away"


@pytest.fixture
def own(tmp_path: Path) -> Mapping[str, str]:
    """Folders of this test's own for state and cache."""
    names = ("INFRAFORGE_STATE", "INFRAFORGE_CACHE")
    return {name: str(tmp_path / name.lower()) for name in names}


def test_the_wheel_holds_the_harness_and_every_tracked_file_of_the_folders(built: Built) -> None:
    wanted = set()
    for name in tracked():
        if name.startswith("infraforge/"):
            if not name.startswith("infraforge/selftests/"):
                wanted.add(name)
        elif name.split("/")[0] in ("platform", "suites", "chaos", "reports") or name in _BESIDE:
            wanted.add(_DATA + name)
    with zipfile.ZipFile(built.wheel) as packed:
        found = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert found - wanted == set()
    assert wanted - found == set()


def test_nothing_of_the_wheel_is_importable_but_the_harness(built: Built, away: Path) -> None:
    top = {path.name for path in built.place.iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"bin"} == {"infraforge"}
    assert not (built.data / "platform" / "__init__.py").exists()
    assert not (built.data / "__init__.py").exists()
    for cwd in (away, built.data):
        done = built.run("-c", "import platform; print(platform.python_version())", cwd=cwd)
        assert done.returncode == 0, done.stderr


def test_the_source_distribution_holds_every_tracked_file(built: Built) -> None:
    with tarfile.open(built.sdist) as packed:
        found = {m.name.partition("/")[2] for m in packed.getmembers() if m.isfile()}
    made = {name for name in found if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert tracked() - found == set()
    assert found - tracked() - made == set()


def test_images_have_the_same_content_hashes_from_the_wheel(built: Built) -> None:
    """Else every image would be built anew, and no bundle of a checkout would fit."""
    here, there = Catalogue.load(ROOT / "platform"), Catalogue.load(built.data / "platform")
    assert {name: there.content_hash(name) for name in there.images} == {
        name: here.content_hash(name) for name in here.images
    }
    program = textwrap.dedent(f"""
        from infraforge.cluster import tools
        from infraforge import folders
        from pathlib import Path
        assert folders.installed()
        there, here = folders.shipped("platform"), Path({str(ROOT)!r}) / "platform"
        assert tools.places(there) == tools.places(here), there
        from infraforge.report import harness
        print(harness.code())
    """)
    done = built.run("-c", program, cwd=ROOT.parent)
    # the judging code, too: a bundle that one of them made is verified by the other
    assert done.stdout.strip() == harness.code(), done.stderr


def test_doctor_lists_the_profiles_of_an_installed_wheel(
    built: Built, away: Path, own: Mapping[str, str]
) -> None:
    done = built.run("-m", "infraforge.cli", "doctor", "--json", cwd=away, **own)
    names = [profile["name"] for profile in json.loads(done.stdout)["profiles"]]
    assert names == ["minimal", "standard", "professional", "enterprise"]


def test_doctor_names_packages_and_wants_no_compiler_where_images_may_be_imported(
    built: Built, away: Path, own: Mapping[str, str]
) -> None:
    """A wheel has no `bootstrap` to send anybody to."""
    argv = ("-m", "infraforge.cli", "doctor")
    done = built.run(*argv, cwd=away, **own, PATH=str(away), COLUMNS="200")
    assert "missing: skopeo; get it by: apt-get install skopeo\n" in done.stdout
    assert "apt-get install golang-go (not needed after: infraforge images import" in done.stdout
    assert "docker is missing (apt-get install docker.io installs it)" in done.stdout
    assert "bootstrap" not in done.stdout
    assert done.returncode == 64


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--version",), "infraforge 0."),
        (("images", "list"), "ghcr.io/tca-infraforge/backend"),
        (("sabotage", "--list"), "cache-never-filled"),
        (("test", "--help"), "state folder"),
        (("report", "--list"), "0 runs in "),
    ],
)
def test_commands_of_an_installed_wheel_find_what_they_need(
    built: Built, away: Path, own: Mapping[str, str], argv: tuple[str, ...], told: str
) -> None:
    done = built.run("-m", "infraforge.cli", *argv, cwd=away, **own, COLUMNS="200")
    assert (done.returncode, told in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_wheel_writes_its_runs_into_the_state_folder_and_nothing_into_itself(
    built: Built, away: Path, own: Mapping[str, str]
) -> None:
    before = sorted(built.place.rglob("*"))
    program = textwrap.dedent("""
        import sys
        from infraforge import evidence, folders, running
        print(evidence.REPORTS, folders.output_of(running.ROOT), *folders.pytest_options())
    """)
    done = built.run("-B", "-c", program, cwd=away, **own)
    reports = Path(own["INFRAFORGE_STATE"]) / "reports"
    assert done.stdout.split() == [
        str(reports), str(reports), "-o", f"cache_dir={reports / '.pytest_cache'}",
    ]  # fmt: skip
    argv = ["-B", "-m", "pytest", "suites/queue", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = built.run(*argv, cwd=built.data, **own)
    assert "suites/queue/test_jobs.py::test_" in done.stdout, done.stdout + done.stderr
    assert sorted(built.place.rglob("*")) == before


def test_an_assertion_of_a_wheels_suite_is_the_tests_own(built: Built, away: Path) -> None:
    """The suites lie inside the harness there, and among libraries: a broken platform stays so."""
    program = textwrap.dedent("""
        from infraforge import folders, raised
        def by(path):
            try:
                exec(compile("assert False", str(path), "exec"), {})
            except AssertionError as error:
                return raised.by_a_test(error)
        print(*(by(folders.root() / name) for name in (
            "suites/data/test_files.py", "chaos/test_ca.py", "../wait.py", "platform/x.py")))
    """)
    done = built.run("-c", program, cwd=away)
    assert done.stdout.split() == ["True", "True", "False", "False"], done.stderr


def test_a_wheel_refuses_what_wants_a_checkout(
    built: Built, away: Path, own: Mapping[str, str]
) -> None:
    for argv, told in (
        (("images", "pin"), "pinned in a checkout"),
        (("sabotage", "--rotate", "1"), "an installed wheel has none"),
    ):
        done = built.run("-m", "infraforge.cli", *argv, cwd=away, **own)
        assert (done.returncode, told in done.stderr) == (64, True), done.stderr


def test_an_installation_without_its_data_says_so(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.place, tmp_path / "bare", ignore=shutil.ignore_patterns("_data"))
    bare = Built(built.wheel, built.sdist, tmp_path / "bare")
    done = bare.run("-m", "infraforge.cli", "doctor", cwd=tmp_path)
    assert done.returncode == 64
    assert "this installation is not whole" in done.stderr


def test_a_checkout_reads_and_writes_its_own_folders(tmp_path: Path) -> None:
    assert not folders.installed()
    assert folders.root() == ROOT
    assert folders.shipped("platform") == ROOT / "platform"
    assert folders.output() == folders.output_of(ROOT) == ROOT / "reports"
    assert folders.output_of(tmp_path) == tmp_path / "reports"
    assert not folders.pytest_options()
    assert not folders.pytest_environment()


@pytest.mark.parametrize("name", ["build/lib/x.py", "dist/x.whl", "infraforge.egg-info/PKG-INFO"])
def test_what_a_build_leaves_is_ignored(name: str) -> None:
    done = subprocess.run(["git", "check-ignore", name], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0
