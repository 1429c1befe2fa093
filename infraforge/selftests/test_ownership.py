"""Only what is ours is touched, whether nodes are foreign, ours, or half made."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infraforge import cli, stack
from infraforge.cluster import kind, state, tools
from infraforge.cluster.users import Use
from infraforge.errors import ClusterError, UsageError
from infraforge.note import Note
from infraforge.profile import Ports, Profile
from infraforge.selftests.fake_docker import FakeDocker
from infraforge.selftests.stand_ins import (
    NODE,
    Api,
    StandUp,
    cluster_folder,
    digests,
    kubeconfig,
)
from infraforge.stack import TREE
from infraforge.wait import seconds, wait_until


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param("dev-control-plane", "dev", id="a KIND cluster of the user's"),
        pytest.param("other-name", "dev", id="by the label alone"),
        pytest.param("dev-control-plane", "", id="by the name alone"),
        pytest.param("dev-worker2", "", id="a worker's name"),
    ],
)
@pytest.mark.parametrize("argv", [["down"], ["up", "--profile", "minimal"]])
def test_a_foreign_cluster_is_refused(
    docker: FakeDocker, up: StandUp, name: str, label: str, argv: list[str]
) -> None:
    docker.add(name, label, mounts="/home/somebody/else")
    words = io.StringIO()
    with contextlib.redirect_stderr(words):
        assert cli.main([*argv, "--name", "dev"]) == 64
    assert name in words.getvalue()
    assert "nothing was touched" in words.getvalue()
    assert docker.changes == []
    assert "create" not in up.done


def test_one_foreign_node_among_ours_stops_all(docker: FakeDocker) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    docker.add("infraforge-worker", "infraforge", mounts="/elsewhere")
    cluster = kind.Kind("infraforge", TREE)
    for touch in (
        cluster.delete,
        lambda: cluster.on_node(NODE, "true"),
        lambda: cluster.wake(1, lambda _line: None),
    ):
        with pytest.raises(UsageError, match="infraforge-worker"):
            touch()
    assert docker.changes == []


def test_nodes_with_other_files_are_foreign(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's platform of the same name, or one of another INFRAFORGE_STATE."""
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "another"))
    assert cli.main(["down"]) == 64
    assert docker.status(NODE) == "running"


def test_ours_is_removed_by_down_alone_and_others_stay(docker: FakeDocker) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    docker.add("dev-control-plane", "dev", mounts="/elsewhere")
    docker.add("infraforge-two-control-plane", "infraforge-two", mounts="/elsewhere")
    assert kind.Kind("infraforge", TREE).delete()[0] == f"node {NODE}"
    assert [one["Name"] for one in docker.containers] == [
        "/dev-control-plane",
        "/infraforge-two-control-plane",
    ]


def test_a_run_that_cannot_remove_what_it_stood_up_says_so(
    docker: FakeDocker, tmp_path: Path
) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    Note("minimal", Ports(), "", {}, {}, keep=False).write("infraforge")
    use = Use("infraforge", "infraforge test").join()
    says = "Cannot connect to the Docker daemon"
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\necho {says} >&2; exit 1\n")
    with pytest.raises(UsageError, match=says):
        stack.leave(use)
    assert Note.read("infraforge") is not None


def test_a_platform_under_change_is_left_alone(docker: FakeDocker) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    Note("minimal", Ports(), "", {}, {}, keep=False).write("infraforge")
    use = Use("infraforge", "infraforge test").join()
    with state.locked("infraforge"):
        assert stack.leave(use) == []
    assert docker.status(NODE) == "running"
    assert Note.read("infraforge") is not None


def test_no_command_runs_on_a_foreign_node(docker: FakeDocker) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    docker.add("dev-control-plane", "dev", mounts="/elsewhere")
    with pytest.raises(ClusterError, match="is no node of"):
        kind.Kind("infraforge", TREE).on_node("dev-control-plane", "true")
    assert docker.changes == []


KIND = """#!/usr/bin/env python3
import json, os, sys, time
if "get" in sys.argv: sys.exit()
name = [a.split("=")[1] for a in sys.argv if a.startswith("--name=")][0]
there = json.load(open(os.environ["FAKE_DOCKER"]))
config = open(sys.argv[sys.argv.index("--config") + 1]).read()
mounts = [l.split(": ")[1] for l in config.splitlines() if "hostPath" in l][0].strip()
there.append({"Id": "id-" + name, "Name": "/" + name + "-control-plane", "Config": {"Labels":
  {"io.x-k8s.kind.cluster": name}}, "State": {"Status": "running"}, "HostConfig": {"Binds":
  [mounts + ":/etc/containerd/certs.d:ro"]}})
json.dump(there, open(os.environ["FAKE_DOCKER"], "w"))
open(os.environ["FAKE_DOCKER"] + ".kind", "w").write(json.dumps(
  [os.getpid(), {k: v for k, v in os.environ.items() if "PROXY" in k.upper() or "KIND" in k}]))
time.sleep(float(os.environ.get("SLOW", "0")))
"""


@pytest.fixture
def creating(docker: FakeDocker, tmp_path: Path) -> Path:
    """A stand-in for KIND where ours is looked for; the file it writes."""
    for program, path in tools.places(TREE).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(KIND if program == "kind" else "#!/bin/sh\n")
        path.chmod(0o755)
    (tmp_path / "ca.crt").write_text("ca")
    return Path(f"{docker.path}.kind")


def test_a_node_is_ours_from_the_moment_it_is_made(
    docker: FakeDocker, creating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And KIND hears of no proxy, and of no runtime or network but ours."""
    for name in ("HTTPS_PROXY", "http_proxy", "ALL_PROXY", "KIND_EXPERIMENTAL_PROVIDER"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    cluster = kind.Kind("infraforge", TREE)
    with contextlib.suppress(ClusterError):  # pytest-kind wants a kubeconfig in the end
        cluster.create(
            Profile.load("minimal", TREE), "image", tmp_path / "ca.crt", digests(), lambda _: None
        )
    assert cluster.nodes() == [NODE]
    _pid, heard = json.loads(creating.read_text())
    assert heard.keys() <= {"FAKE_DOCKER"}
    assert cluster.unfinished
    assert "node infraforge-control-plane" in cluster.delete()


_UP = """
import sys
from pathlib import Path
from infraforge.cluster import kind
from infraforge.profile import Profile
from infraforge.selftests.stand_ins import digests
from infraforge.stack import TREE
kind.Kind("infraforge", TREE).create(
    Profile.load("minimal", TREE), "image", Path(sys.argv[1]), digests(), lambda line: None)
"""


def test_a_killed_stand_up_takes_kind_with_it_and_leaves_what_can_be_removed(
    docker: FakeDocker, creating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "60")
    argv = [sys.executable, "-c", _UP, str(tmp_path / "ca.crt")]
    with subprocess.Popen(argv, cwd=TREE.parent) as process:
        wait_until(creating.exists, seconds(20), what="KIND is at it")
        process.send_signal(signal.SIGKILL)
    pid, _ = json.loads(creating.read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds(10), what="KIND has ended")
    cluster = kind.Kind("infraforge", TREE)
    assert cluster.unfinished
    assert cluster.nodes() == [NODE]
    assert f"node {NODE}" in cluster.delete()
    assert docker.status(NODE) == "gone"


def test_what_docker_still_makes_after_kind_was_stopped_is_removed_too(docker: FakeDocker) -> None:
    folder = cluster_folder()
    (folder / "creating").touch()
    docker.add(NODE, "infraforge", mounts=str(folder))
    late = threading.Timer(
        0.7, lambda: docker.add("infraforge-worker", "infraforge", mounts=str(folder))
    )
    late.start()
    removed = kind.Kind("infraforge", TREE).delete()
    late.join()
    assert "node infraforge-worker" in removed
    assert docker.containers == []


def test_a_lost_kubeconfig_is_asked_for_again(docker: FakeDocker, creating: Path, api: Api) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    kubeconfig(api.url)
    path = cluster_folder() / "kubeconfig"
    text = path.read_text()
    path.unlink()
    program = tools.kind(TREE)
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    kind.Kind("infraforge", TREE).wake(5.0, lambda _line: None)
    assert path.read_text().strip() == text.strip()
    assert path.stat().st_mode & 0o777 == 0o600
