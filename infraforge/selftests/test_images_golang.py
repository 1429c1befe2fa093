"""Go programs: what a content hash covers, what a failure reports, and that builds are atomic.

A stand-in for `go` on PATH records how it was called and makes what the real one would make.
"""

from __future__ import annotations

import json
import re
import stat
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from infraforge.images import golang
from infraforge.images.errors import BuildError

GO = """#!{python}
import json, os, pathlib, sys, time
root = pathlib.Path({root!r})
argv = sys.argv[1:]
with (root / "calls").open("a") as calls:
    calls.write(json.dumps([argv, os.environ["CGO_ENABLED"], os.environ["GOCACHE"]]) + "\\n")
if argv[:2] == ["mod", "download"]:
    print(json.dumps({{"Dir": str(root / "published"), "Sum": "h1:published"}}))
elif argv[0] == "list":
    print(root / "published")
elif (root / "broken").exists():
    print("\\n".join(f"line {{n}}" for n in range(40)), file=sys.stderr)
    sys.exit(1)
else:
    time.sleep(0.2)
    to = argv[argv.index("-o") + 1]
    for package in argv[argv.index("-o") + 2:]:
        made = pathlib.Path(to) / package.split("/")[-1] if to.endswith("/") else pathlib.Path(to)
        made.write_text(package)
        made.chmod(0o755)
"""


@dataclass(frozen=True)
class Bench:
    """A module folder, a cache, and the stand-in's own folder."""

    module: Path
    cache: Path
    go: Path

    def build(self) -> golang.Built:
        return golang.build(self.module, self.cache, self.cache / "logs" / "go.log")

    def describe(self, text: str) -> None:
        (self.module / "module.toml").write_text(text)

    def calls(self, verb: str) -> list[list[str]]:
        """Arguments of every call of `go VERB` so far."""
        path = self.go / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [argv for argv, _, _ in map(json.loads, lines) if argv[0] == verb]

    def left_behind(self) -> list[str]:
        """What stands beside finished results: nothing but the lock is expected."""
        folder = self.cache / "go" / self.module.name
        return [p.name for p in folder.iterdir() if not re.fullmatch(r"[0-9a-f]{64}", p.name)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "tool", tmp_path / "cache", tmp_path / "go")
    (made.go / "published" / "data").mkdir(parents=True)
    (made.go / "published" / "data" / "probe.c").write_text("int x;\n")
    (made.go / "bin").mkdir()
    program = made.go / "bin" / "go"
    program.write_text(GO.format(python=sys.executable, root=str(made.go)))
    program.chmod(0o755)
    made.module.mkdir()
    (made.module / "go.mod").write_text("module example.test/tool\n")
    (made.module / "go.sum").write_text("")
    made.describe('[programs]\ntool = "example.test/tool/cmd/tool"\n')
    monkeypatch.setenv("PATH", f"{made.go / 'bin'}:/usr/bin:/bin")
    return made


def test_hash_changes_with_every_byte_and_name(bench: Bench) -> None:
    """Content, a new file and a file's name all make another hash; nothing else does."""
    seen = [golang.hash_of(bench.module)]
    (bench.module / "go.sum").write_text("x h1:abc=\n")
    seen.append(golang.hash_of(bench.module))
    (bench.module / "patches").mkdir()
    (bench.module / "patches" / "a.patch").write_text("one")
    seen.append(golang.hash_of(bench.module))
    (bench.module / "patches" / "a.patch").rename(bench.module / "patches" / "b.patch")
    seen.append(golang.hash_of(bench.module))
    assert len(set(seen)) == len(seen)
    (bench.module / "go.sum").touch()
    assert golang.hash_of(bench.module) == seen[-1]


def test_second_build_runs_nothing(bench: Bench) -> None:
    """What a content hash says is built is not built again."""
    first, second = bench.build(), bench.build()
    assert (first.cached, second.cached) == (False, True)
    assert first.programs == second.programs
    assert len(bench.calls("build")) == 1


def test_builds_are_static_verified_and_reproducible(bench: Bench) -> None:
    """go.sum is never written to, C is off, paths of this machine stay out of the program."""
    bench.build()
    [(argv, cgo, gocache)] = map(json.loads, (bench.go / "calls").read_text().splitlines())
    assert {"-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"} <= set(argv)
    assert (cgo, gocache) == ("0", str(bench.cache / "go-build"))


def test_programs_of_a_module_share_one_call(bench: Bench) -> None:
    """Several programs are compiled together and each gets the name it is asked for."""
    bench.describe('[programs]\nagent = "example.test/daemon"\ncli = "example.test/cli"\n')
    built = bench.build()
    assert {name: path.read_text() for name, path in built.programs.items()} == {
        "agent": "example.test/daemon",
        "cli": "example.test/cli",
    }
    assert len(bench.calls("build")) == 1


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("example.test/v2/cmd/vet", "vet"),
    ],
)
def test_a_major_version_is_not_a_program_name(package: str, name: str) -> None:
    """Go names a program after the last element that is no major version."""
    assert golang._executable(package) == name


def test_failure_names_step_last_lines_and_log(bench: Bench) -> None:
    """A failed compile can be understood from the error alone."""
    (bench.go / "broken").touch()
    with pytest.raises(BuildError) as caught:
        bench.build()
    error = caught.value
    assert (error.image, error.step) == ("tool", "build tool")
    assert error.tail == tuple(f"line {n}" for n in range(25, 40))
    assert error.log.read_text().startswith("$ go build ")
    assert "line 39" in str(error)
    assert str(error.log) in str(error)


def test_missing_go_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Go gets a message, not a traceback."""
    monkeypatch.setenv("PATH", str(bench.module))
    with pytest.raises(BuildError, match=r"go: No such file or directory; is it installed\?"):
        bench.build()


def test_failed_build_leaves_no_result(bench: Bench) -> None:
    """After a failure the next build starts over, and then nothing of the failure is left."""
    (bench.go / "broken").touch()
    with pytest.raises(BuildError):
        bench.build()
    (bench.go / "broken").unlink()
    assert not bench.build().cached
    assert bench.left_behind() == [".lock"]


def test_interrupted_build_of_other_content_is_cleared_away(bench: Bench) -> None:
    """What a killed build left, whatever its hash, does not stay on the disk."""
    leftover = bench.cache / "go" / "tool" / f"{'0' * 64}.part"
    (leftover / "result" / "bin").mkdir(parents=True)
    bench.build()
    assert bench.left_behind() == [".lock"]


def test_two_builds_at_once_compile_once(bench: Bench) -> None:
    """The second waits for the first and takes its result."""
    results: list[golang.Built] = []
    threads = [threading.Thread(target=lambda: results.append(bench.build())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(built.cached for built in results) == [False, True]
    assert len(bench.calls("build")) == 1


def test_files_are_taken_out_of_a_module_writable(bench: Bench) -> None:
    """Folders come out whole; Go's module cache is read-only, the result must not be."""
    (bench.go / "published" / "data" / "probe.c").chmod(0o444)
    bench.describe('[programs]\ntool = "."\n[files]\nbpf = ["example.test/tool", "data"]\n')
    taken = bench.build().files["bpf"] / "probe.c"
    assert taken.read_text() == "int x;\n"
    assert taken.stat().st_mode & stat.S_IWUSR


def copying(bench: Bench, sum_: str) -> None:
    bench.describe(
        f'[programs]\ntool = "."\n[copies]\nlib = ["example.test/lib", "v1.0.0", "{sum_}"]\n'
    )


def test_patched_copy_is_refused_when_its_sum_differs(bench: Bench) -> None:
    """A module that go.sum cannot cover is never compiled unless it is the one pinned."""
    copying(bench, "h1:other")
    with pytest.raises(BuildError, match=r"its sum is h1:published, but module\.toml has h1:other"):
        bench.build()
    assert not bench.calls("build")


def test_patches_are_applied_to_the_copy_only(bench: Bench) -> None:
    """A patch that fits lets the build go on; what Go's module cache holds stays as it was."""
    copying(bench, "h1:published")
    (bench.module / "patches").mkdir()
    patch = bench.module / "patches" / "0001.patch"
    patch.write_text("--- a/data/probe.c\n+++ b/data/probe.c\n@@ -1 +1 @@\n-int x;\n+int y;\n")
    assert not bench.build().cached
    assert (bench.go / "published" / "data" / "probe.c").read_text() == "int x;\n"
    assert "patching file data/probe.c" in (bench.cache / "logs" / "go.log").read_text()


def test_each_copy_has_patches_of_its_own(bench: Bench) -> None:
    """A patch in a copy's own folder is applied to that copy alone."""
    module = '["example.test/lib", "v1.0.0", "h1:published"]'
    bench.describe(f'[programs]\ntool = "."\n[copies]\nlib = {module}\nother = {module}\n')
    for copy, old, new in (("lib", "x", "y"), ("other", "x", "z")):
        own = bench.module / "patches" / copy
        own.mkdir(parents=True)
        change = f"@@ -1 +1 @@\n-int {old};\n+int {new};\n"
        (own / "0001.patch").write_text(f"--- a/data/probe.c\n+++ b/data/probe.c\n{change}")
    bench.build()
    log = (bench.cache / "logs" / "go.log").read_text()
    assert log.count("patching file data/probe.c") == 2


def test_patch_that_does_not_fit_fails_the_build(bench: Bench) -> None:
    """A patch is never half applied in silence."""
    copying(bench, "h1:published")
    (bench.module / "patches").mkdir()
    patch = bench.module / "patches" / "0001.patch"
    patch.write_text("--- a/data/probe.c\n+++ b/data/probe.c\n@@ -1 +1 @@\n-int z;\n+int y;\n")
    with pytest.raises(BuildError, match=r"apply 0001\.patch failed"):
        bench.build()
    assert not bench.calls("build")
