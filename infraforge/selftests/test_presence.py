"""Silence is not absence: against stand-ins for Docker and the API server."""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from pathlib import Path

import pytest

from infraforge import brought, cli, stack
from infraforge.cluster import kind, state
from infraforge.cluster.base import Presence
from infraforge.errors import ClusterError, InfraForgeError, TimedOut, UsageError
from infraforge.note import Brought, Note
from infraforge.profile import Ports, Profile
from infraforge.selftests.fake_docker import FakeDocker
from infraforge.selftests.stand_ins import (
    DEAD,
    NODE,
    Api,
    StandUp,
    cluster_folder,
    kubeconfig,
    note,
)
from infraforge.stack import TREE


def test_without_any_trace_a_platform_is_absent(docker: FakeDocker) -> None:
    assert kind.Kind("infraforge", TREE).presence() is Presence.ABSENT
    assert not stack.is_up("infraforge")
    with pytest.raises(UsageError, match="no platform 'infraforge' is up"):
        stack.attach("infraforge")


def test_a_platform_whose_api_server_answers_is_present(docker: FakeDocker, api: Api) -> None:
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
def test_traces_without_an_answer_mean_silent(
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
def test_an_api_server_that_fails_requests_is_silent(
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


def test_a_silent_platform_is_never_taken_for_absent(stopped: FakeDocker) -> None:
    with pytest.raises(ClusterError, match="silent"):
        stack.is_up("infraforge")


def test_a_stand_up_that_has_not_ended_is_no_platform_and_not_nothing(
    docker: FakeDocker, api: Api
) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    kubeconfig(api.url)
    with pytest.raises(ClusterError, match="its stand-up has not ended"):
        stack.attach("infraforge")


def test_an_absent_platform_is_created(docker: FakeDocker, up: StandUp) -> None:
    up.run()
    assert "create" in up.done
    assert "wait_seen" not in up.done
    assert "refresh" not in up.done
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
    steps = [
        step for step in up.done if step in ("start_registry", "wait_seen", "refresh", "deploy")
    ]
    assert steps == ["start_registry", "wait_seen", "refresh", "deploy"]


def test_a_platform_that_stays_silent_is_kept(
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


def test_a_known_platform_without_nodes_is_not_recreated(docker: FakeDocker, up: StandUp) -> None:
    kubeconfig(DEAD)
    note()
    with pytest.raises(ClusterError, match="another Docker host or context"):
        up.run()
    (cluster_folder() / "kubeconfig").unlink()
    with pytest.raises(ClusterError, match="another Docker host or context"):
        up.run()
    assert "create" not in up.done
    assert docker.changes == []


def test_ports_that_nodes_on_another_docker_host_may_hold_are_not_to_be_freed(
    docker: FakeDocker, up: StandUp
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        ports = Ports(theirs.getsockname()[1], theirs.getsockname()[1])
        Note("minimal", ports, "https://127.0.0.1", {}, {}, True).write("infraforge")
        with pytest.raises(ClusterError, match="another Docker host or context"):
            up.run()
    assert up.done == []


def test_a_front_door_whose_port_is_taken_is_not_begun(
    docker: FakeDocker, up: StandUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        monkeypatch.setenv("INFRAFORGE_HTTP_PORT", str(port))
        with pytest.raises(UsageError, match=rf"{port} is taken.*INFRAFORGE_HTTP_PORT"):
            up.run()
    assert up.done == docker.changes == []
    assert state.names() == []


def test_a_silent_docker_does_not_mean_absence(
    stopped: FakeDocker, up: StandUp, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n[ $1 = info ] || exit 1\n")
    with pytest.raises(ClusterError, match="docker ps failed"):
        up.run()
    assert up.done == []


def test_remains_of_an_unfinished_creation_are_recreated(docker: FakeDocker, up: StandUp) -> None:
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


def test_a_silent_platform_does_not_hide_another(
    stopped: FakeDocker, api: Api, tmp_path: Path
) -> None:
    kubeconfig(api.url, "work")
    with pytest.raises(InfraForgeError) as raised:
        brought.name_of(cluster_folder("work") / "kubeconfig", "work", "minimal")
    assert "is not an API server" in str(raised.value)  # of the one that was asked about


def test_an_unreadable_note_is_reported(
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


def test_a_hanging_api_server_is_reported_soon(docker: FakeDocker) -> None:
    """As behind a paused node, whose port is open: it is asked once, not four times."""
    docker.add(NODE, "infraforge", status="paused", mounts=str(cluster_folder()))
    note()
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        kubeconfig(f"http://127.0.0.1:{hangs.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ClusterError, match="is paused"):
            stack.attach("infraforge")
        assert time.monotonic() - began < 3 * kind._ASK


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


def test_a_platform_is_what_was_stood_up_and_not_what_its_profile_says_today(
    docker: FakeDocker, api: Api
) -> None:
    """A sabotage rolls out what its own tree declares, and asks for that."""
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()))
    kubeconfig(api.url)
    today = Profile.load("minimal", TREE)
    stood_up = dataclasses.replace(today.shape, components={"vault": {"replicas": 1}})
    Note("minimal", Ports(), "https://127.0.0.1", {}, {}, True, shape=stood_up).write("infraforge")
    platform = stack.attach("infraforge")
    assert platform.profile.shape == stood_up
    assert platform.profile.budgets == today.budgets
    assert platform.profile.required == today.required
    assert stack.attach("infraforge", as_declared=True).profile.shape == today.shape
