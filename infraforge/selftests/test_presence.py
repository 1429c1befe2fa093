"""Silence is not absence, and only what is ours is touched: against a stand-in for Docker."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infraforge import brought, cli, faults, stack
from infraforge.cluster import install, kind, state, tools
from infraforge.cluster.base import Presence
from infraforge.errors import ClusterError, InfraForgeError, TimedOut, Unable, UsageError
from infraforge.note import Brought, Note
from infraforge.profile import Ports, Profile
from infraforge.selftests.fake_docker import FakeDocker
from infraforge.stack import TREE
from infraforge.wait import seconds, wait_until

NODE = "infraforge-control-plane"


class Api(ThreadingHTTPServer):
    """As much of an API server as tells its version; status: how it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.asked = 0
        self.when_asked: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.when_asked()
        fields = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate")
        more = ("goVersion", "compiler", "platform")
        body = json.dumps(dict.fromkeys((*fields, *more), "1"))
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_CONNECT = do_GET

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Api]:
    made = Api()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    with contextlib.closing(made.socket):
        yield made
        made.shutdown()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as made:
        yield made


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Docker and this machine's state and cache, all of the test's own."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # what is kept direct is not for other tests
    programs = tmp_path / "bin"
    programs.mkdir()
    made = FakeDocker(tmp_path)
    made.install(programs)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(made.path))
    return made


def cluster_folder(name: str = "infraforge") -> Path:
    folder = state.cluster_dir(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kubeconfig(url: str, name: str = "infraforge") -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "work", "context": {"cluster": "c", "user": "me"}}],
        "current-context": "work",
    }
    (cluster_folder(name) / "kubeconfig").write_text(yaml.safe_dump(config))


def note(name: str = "infraforge", brought_one: Brought | None = None) -> None:
    Note("minimal", Ports(), "https://127.0.0.1:8443", {}, {}, True, {}, brought_one).write(name)


DEAD = "http://127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture
def stopped(docker: FakeDocker) -> FakeDocker:
    """A platform that is known, whose node was stopped."""
    docker.add(NODE, "infraforge", status="exited", mounts=str(cluster_folder()))
    kubeconfig(DEAD)
    note()
    return docker


def test_nothing_here_is_absent(docker: FakeDocker) -> None:
    assert kind.Kind("infraforge", TREE).presence() is Presence.ABSENT
    assert not stack.is_up("infraforge")
    with pytest.raises(UsageError, match="no platform 'infraforge' is up"):
        stack.attach("infraforge")


def test_an_api_server_that_answers_is_there(docker: FakeDocker, api: Api) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    kubeconfig(api.url)
    assert kind.Kind("infraforge", TREE).presence() is Presence.ANSWERS


@pytest.mark.parametrize(
    ("nodes", "leads_to", "words"),
    [
        (["exited"], DEAD, "is exited"),
        (["paused"], DEAD, "is paused"),
        (["running"], DEAD, "does not answer"),
        ([], DEAD, "Docker has none of its nodes"),
        (["running"], "", "there is no kubeconfig"),
    ],
)
def test_whatever_is_here_and_says_nothing_is_silent(
    docker: FakeDocker, nodes: list[str], leads_to: str, words: str
) -> None:
    for number, status in enumerate(nodes):
        docker.add(
            f"infraforge-worker{number}", "infraforge", status=status, mounts=str(cluster_folder())
        )
    if leads_to:
        kubeconfig(leads_to)
    cluster = kind.Kind("infraforge", TREE)
    assert cluster.presence() is Presence.SILENT
    assert words in cluster.trouble


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_an_api_server_that_does_not_do_it_is_silent(
    docker: FakeDocker, api: Api, status: int
) -> None:
    api.status = status
    kubeconfig(api.url)
    cluster = kind.Kind("infraforge", TREE)
    assert cluster.presence() is Presence.SILENT
    assert str(status) in cluster.trouble


@pytest.mark.parametrize(
    "argv", [["status"], ["status", "--json"], ["heal"], ["certificates", "renew"]]
)
def test_commands_on_a_silent_platform_say_what_to_do(
    stopped: FakeDocker, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert cli.main(argv) == 2
    said = capsys.readouterr().err
    assert "infraforge-control-plane is exited" in said
    assert "infraforge up --name infraforge --profile minimal" in said
    assert "no platform" not in said
    assert stopped.changes == []


def test_nobody_takes_a_silent_platform_for_none(stopped: FakeDocker) -> None:
    with pytest.raises(ClusterError, match="silent"):
        stack.is_up("infraforge")


def test_a_stand_up_that_has_not_ended_is_no_platform_and_not_nothing(
    docker: FakeDocker, api: Api
) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    kubeconfig(api.url)
    with pytest.raises(ClusterError, match="its stand-up has not ended"):
        stack.attach("infraforge")


class StandUp:
    """A stand-up whose images, manifests and front door are not the question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []

        def noted(what: str) -> Callable[..., Any]:
            def step(*_args: object, **_more: object) -> Any:
                self.done.append(what)
                if what == "create":
                    kubeconfig(DEAD)
                return made

            return step

        made: Any = type("Made", (), {})()
        made.tag, made.ca_file, made.catalogue = "image", Path("/ca.crt"), None
        made.fill = lambda *_args: {}
        for module, name in (
            (stack, "images_for"),
            (stack, "start_registry"),
            (stack.build, "record"),
            (kind.Kind, "create"),
            (install, "install"),
            (install, "wait_ready"),
            (install, "wait_seen"),
            (stack.Platform, "deploy"),
            (stack.Platform, "wait_open"),
        ):
            monkeypatch.setattr(module, name, noted(name))
        monkeypatch.setattr(stack, "authority", lambda _name: None)

    def run(self) -> None:
        stack.stand_up("infraforge", "minimal")


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> StandUp:
    return StandUp(monkeypatch)


def test_what_is_new_is_made(docker: FakeDocker, up: StandUp) -> None:
    up.run()
    assert "create" in up.done
    assert "wait_seen" not in up.done
    assert up.done[-1] == "wait_open"
    assert Note.read("infraforge") is not None


def test_a_front_door_that_stays_shut_is_told_and_the_platform_known(
    docker: FakeDocker, up: StandUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shut(*_args: object) -> None:
        raise TimedOut("not within 180 s")

    monkeypatch.setattr(stack.Platform, "wait_open", shut)
    with pytest.raises(TimedOut):
        up.run()
    assert Note.read("infraforge") is not None


@pytest.mark.parametrize("status", ["exited", "created", "paused"])
def test_stopped_nodes_are_started_again_and_nothing_is_removed(
    docker: FakeDocker, up: StandUp, api: Api, status: str
) -> None:
    folder = str(cluster_folder())
    docker.add("infraforge-worker", "infraforge", status=status, mounts=folder, role="worker")
    docker.add(NODE, "infraforge", status=status, mounts=folder)
    kubeconfig(api.url)
    note()
    api.status = 503

    def recover() -> None:
        if docker.status(NODE) == docker.status("infraforge-worker") == "running":
            api.status = 200

    api.when_asked = recover
    up.run()
    verb = "unpause" if status == "paused" else "start"
    # the control plane first: workers look for it
    assert docker.changes == [f"{verb} id-of-{NODE}", f"{verb} id-of-infraforge-worker"]
    assert "create" not in up.done
    assert up.done.index("start_registry") < up.done.index("wait_seen") < up.done.index("deploy")


def test_one_that_stays_silent_is_kept(
    stopped: FakeDocker, up: StandUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster_folder() / "undo.jsonl").write_text("{}\n")
    wake = kind.Kind.wake
    monkeypatch.setattr(kind.Kind, "wake", lambda self, _within, say: wake(self, 0.3, say))
    with pytest.raises(ClusterError, match="infraforge down --name infraforge"):
        up.run()
    assert stopped.status(NODE) == "running"
    assert "create" not in up.done
    assert (cluster_folder() / "undo.jsonl").exists()
    assert Note.read("infraforge") is not None


def test_a_known_platform_without_nodes_is_not_made_anew(docker: FakeDocker, up: StandUp) -> None:
    kubeconfig(DEAD)
    note()
    with pytest.raises(ClusterError, match="another Docker host or context"):
        up.run()
    (cluster_folder() / "kubeconfig").unlink()
    with pytest.raises(ClusterError, match="another Docker host or context"):
        up.run()
    assert "create" not in up.done
    assert docker.changes == []


def test_a_docker_that_says_nothing_is_no_absence(
    stopped: FakeDocker, up: StandUp, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n[ $1 = info ] || exit 1\n")
    with pytest.raises(ClusterError, match="docker ps failed"):
        up.run()
    assert up.done == []


def test_remains_of_an_unfinished_creation_are_made_anew(docker: FakeDocker, up: StandUp) -> None:
    folder = cluster_folder()
    docker.add(NODE, "infraforge", mounts=str(folder))
    (folder / "creating").touch()
    (folder / "kubeconfig").touch()
    up.run()
    assert docker.status(NODE) == "gone"
    assert "create" in up.done


def test_a_known_platform_is_never_taken_for_remains(stopped: FakeDocker, up: StandUp) -> None:
    (cluster_folder() / "creating").touch()
    stopped.path.write_text("[]")
    with pytest.raises(ClusterError):
        up.run()
    assert "create" not in up.done


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
def test_what_somebody_else_made_is_refused(
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


def test_other_files_than_these_are_somebody_elses(
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


def test_a_strangers_node_is_no_place_for_commands(docker: FakeDocker) -> None:
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
        cluster.create(Profile.load("minimal", TREE), "image", tmp_path / "ca.crt", lambda _: None)
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
from infraforge.stack import TREE
kind.Kind("infraforge", TREE).create(
    Profile.load("minimal", TREE), "image", Path(sys.argv[1]), lambda line: None)
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


def test_a_brought_cluster_that_says_nothing_is_unknown(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig(DEAD, "existing")
    note("existing", Brought("one", "work", DEAD))
    for argv in (
        ["status", "--cluster", "existing"],
        ["heal", "--cluster", "existing"],
        ["down", "--cluster", "existing"],
        ["up", "--cluster", "existing", "--profile", "minimal"],
    ):
        assert cli.main(argv) == 2, argv
        assert "does not answer" in capsys.readouterr().err
    with pytest.raises(ClusterError, match="does not answer"):
        stack.is_up("existing")
    with pytest.raises(ClusterError, match="does not answer"):
        brought.name_of(cluster_folder("existing") / "kubeconfig", "work", "minimal")
    assert Note.read("existing") is not None
    assert docker.changes == []


def test_a_silent_platform_of_ours_keeps_no_other_from_being_found(
    stopped: FakeDocker, api: Api, tmp_path: Path
) -> None:
    kubeconfig(api.url, "work")
    with pytest.raises(InfraForgeError) as raised:
        brought.name_of(cluster_folder("work") / "kubeconfig", "work", "minimal")
    assert "no API server" in str(raised.value)  # of the one that was asked about


def test_a_note_that_cannot_be_read_is_told_of(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    (cluster_folder() / "stack.json").write_text('{"profile": "mini')
    assert cli.main(["status"]) == 2
    said = capsys.readouterr().err
    assert "stack.json" in said
    assert "Traceback" not in said


def test_waiting_shows_its_last_look(stopped: FakeDocker) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match="does not answer"):
        kind.Kind("infraforge", TREE).wake(0.5, lambda _line: None)
    assert time.monotonic() - began < 10


def test_a_restart_gives_each_another_address_and_proves_it(docker: FakeDocker, api: Api) -> None:
    """Stopped all, started in another order; its undo is data that another process can perform."""
    folder = str(cluster_folder())
    docker.add("infraforge-registry", ours="registry", address="172.20.0.2")
    docker.add(NODE, "infraforge", mounts=folder, address="172.20.0.3")
    docker.add(
        "infraforge-worker", "infraforge", mounts=folder, address="172.20.0.4", role="worker"
    )
    docker.add("theirs", address="172.20.0.9")
    kubeconfig(api.url)
    site: Any = SimpleNamespace(
        cluster=kind.Kind("infraforge", TREE), profile=Profile.load("minimal", TREE)
    )
    aimed = faults.Restart().aim(site)
    assert docker.changes == []
    assert aimed.took_effect(site) == ""
    aimed.strike(site)
    assert docker.changes[0].startswith("stop ")
    assert "id-of-theirs" not in " ".join(docker.changes)
    proof = aimed.took_effect(site)
    assert f"{NODE} 172.20.0.3 → 172.20.0.2" in proof
    assert "infraforge-registry 172.20.0.2 → 172.20.0.4" in proof
    again = faults.UNDOS["started"].restored(aimed.undo.parameters)
    assert again == aimed.undo
    again.perform(site)


def test_a_restart_that_left_the_control_plane_where_it_was_proves_nothing(
    docker: FakeDocker, api: Api
) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()), address="172.20.0.2")
    kubeconfig(api.url)
    site: Any = SimpleNamespace(
        cluster=kind.Kind("infraforge", TREE), profile=Profile.load("minimal", TREE)
    )
    aimed = faults.Restart().aim(site)
    aimed.strike(site)
    assert aimed.took_effect(site) == ""


def test_only_a_cluster_of_ours_can_be_restarted() -> None:
    site: Any = SimpleNamespace(cluster=SimpleNamespace(name="existing"))
    with pytest.raises(Unable):
        faults.Restart().aim(site)


def test_an_api_server_that_hangs_is_told_of_soon(docker: FakeDocker) -> None:
    """As behind a paused node, whose port is open: it is asked once, not four times."""
    docker.add(NODE, "infraforge", status="paused", mounts=str(cluster_folder()))
    note()
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        kubeconfig(f"http://127.0.0.1:{hangs.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ClusterError, match="is paused"):
            stack.attach("infraforge")
        assert time.monotonic() - began < 3 * kind._ASK


def test_since_when_a_node_runs_is_told_though_the_clock_was_set(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(cluster_folder())
    docker.add(NODE, "infraforge", mounts=folder, started="2026-01-01T00:00:00.5Z")
    docker.add("infraforge-worker", "infraforge", mounts=folder, status="exited", role="worker")
    cluster = kind.Kind("infraforge", TREE)
    assert cluster.started() == {NODE: datetime(2026, 1, 1, tzinfo=UTC)}
    # it has run for longer than since then: the clock was set back
    docker.path.write_text(docker.path.read_text().replace("2026-01-01", "2999-01-01"))
    monkeypatch.setenv("FAKE_AGE", "     60")
    age = datetime.now(UTC) - cluster.started()[NODE]
    assert 30 < age.total_seconds() <= 60


def test_a_sabotage_left_on_a_silent_platform_does_not_keep_it_so(
    stopped: FakeDocker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`up` undoes it first; for that, too, the platform is started again, not asked in vain."""

    def reached(*_args: object, **_more: object) -> None:
        raise ClusterError("stand_up was reached")

    monkeypatch.setattr(stack, "stand_up", reached)
    left = {"sabotage": "one", "claim": "broken", "profile": "minimal", "undo_sql": []}
    (cluster_folder() / "sabotage.json").write_text(json.dumps(left))
    assert cli.main(["up", "--profile", "minimal"]) == 2
    assert "stand_up was reached" in capsys.readouterr().err
