"""A cluster the user brings: known by its UID, agreed to, and not touched otherwise."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from infraforge import brought, stack
from infraforge.cluster import manifests, state
from infraforge.cluster.existing import Existing, OtherCluster
from infraforge.components import ingress
from infraforge.errors import UsageError
from infraforge.note import Brought, Note
from infraforge.profile import Ports, Profile


class ApiServer(ThreadingHTTPServer):
    """An API server that returns a UID and records its requests."""

    def __init__(self, uid: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uid = uid
        self.changes: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        item = {"apiVersion": "v1", "kind": "Namespace"}
        body = json.dumps(item | {"metadata": {"name": "kube-system", "uid": self.server.uid}})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.server.changes.append(self.path)

    do_PATCH = do_DELETE = do_PUT = do_POST

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer("one")
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    with contextlib.closing(made.socket):
        yield made
        made.shutdown()


@pytest.fixture
def kubeconfig(tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "theirs", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "work", "context": {"cluster": "theirs", "user": "me"}}],
        "current-context": "work",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def known(kubeconfig: Path, uid: str) -> Note:
    """As if the platform had been put there before."""
    here = Existing(kubeconfig)
    brought_one = Brought(uid, here.context, here.server)
    note = Note("minimal", Ports(), "https://10.0.0.1:30443", {}, {}, True, {}, brought_one)
    note.write("existing")
    (state.cluster_dir("existing") / "kubeconfig").write_bytes(kubeconfig.read_bytes())
    return note


def test_a_note_is_read_as_it_was_written(kubeconfig: Path) -> None:
    assert Note.read("existing") is None
    assert known(kubeconfig, "one") == Note.read("existing")


def test_the_pinned_cluster_is_found_by_its_uid(kubeconfig: Path) -> None:
    known(kubeconfig, "one")
    assert brought.name_of(kubeconfig, "work", "minimal") == "existing"
    assert stack.is_up("existing")


def test_another_cluster_in_its_place_is_refused(kubeconfig: Path, server: ApiServer) -> None:
    known(kubeconfig, "one")
    server.uid = "two"
    with pytest.raises(OtherCluster, match="its UID is two, but one was agreed to"):
        brought.name_of(kubeconfig, "work", "minimal")
    for touch in (
        lambda: stack.attach("existing"),
        lambda: brought.tear_down("existing"),
        lambda: brought.stand_up(
            "existing",
            brought.Wish(Profile.load("minimal", stack.TREE), kubeconfig),
            lambda _question: True,
        ),
    ):
        with pytest.raises(OtherCluster):
            touch()
    assert server.changes == []
    assert brought.tear_down("existing", forget=True)
    assert not state.state_dir().exists()


def test_a_cluster_without_agreement_is_not_a_platform(kubeconfig: Path, server: ApiServer) -> None:
    with pytest.raises(UsageError, match="infraforge up --cluster existing"):
        brought.name_of(kubeconfig, None, "minimal")
    assert server.changes == []


def test_a_refused_agreement_leaves_nothing_behind(
    kubeconfig: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(brought, "_check", lambda *_args: None)
    monkeypatch.setattr(brought, "images_for", lambda *_args: brought.Images({}))
    monkeypatch.setattr(Existing, "node_addresses", lambda _self: ["10.0.0.1"])
    wish = brought.Wish(Profile.load("minimal", stack.TREE), kubeconfig, "work")
    with pytest.raises(UsageError, match="did not agree"):
        brought.stand_up("existing", wish, lambda question: bool(asked.append(question)))
    assert "UID          one" in asked[0]
    assert server.changes == []
    assert not state.state_dir().exists()


def test_commands_for_own_clusters_do_not_touch_a_brought_one(kubeconfig: Path) -> None:
    known(kubeconfig, "one")
    for touch in (
        lambda: stack.stand_up("existing", Profile.load("minimal", stack.TREE)),
        lambda: stack.tear_down("existing"),
    ):
        with pytest.raises(UsageError, match="a cluster you brought"):
            touch()


def test_several_nodes_need_an_origin(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brought, "images_for", lambda *_args: brought.Images({}))
    monkeypatch.setattr(Existing, "node_addresses", lambda _self: ["10.0.0.1", "10.0.0.2"])
    with pytest.raises(UsageError, match="--origin"):
        brought.stand_up(
            "existing",
            brought.Wish(Profile.load("minimal", stack.TREE), kubeconfig),
            lambda _question: True,
        )


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("https://127.0.0.1:8443", ([], [])),
        ("https://172.18.0.2:30443", ([], ["172.18.0.2"])),
        ("https://platform.example", (["platform.example"], [])),
    ],
)
def test_the_front_doors_certificate_names_its_host(
    origin: str, named: tuple[list[str], list[str]]
) -> None:
    assert ingress.host_of(origin) == named


def test_images_are_taken_from_where_nodes_find_them() -> None:
    pod = {"containers": [{"image": "a.b/c/app:1@sha256:x"}, {"image": "a.b/cc/app:1"}]}
    workload = {"kind": "Deployment", "spec": {"template": {"spec": pod}}}
    [moved] = manifests.move_images([workload], "a.b/c", "registry.example:5000/x")
    images = [box["image"] for box in manifests.containers(moved)]
    assert images == ["registry.example:5000/x/app:1@sha256:x", "a.b/cc/app:1"]
    assert pod["containers"][0]["image"] == "a.b/c/app:1@sha256:x"


def test_pods_are_replaced_with_their_certificate() -> None:
    pod = {"metadata": {"labels": {}}, "spec": {}}
    objects = [{"kind": "Deployment", "spec": {"template": pod}}, {"kind": "Service", "spec": {}}]
    workload, service = manifests.annotate_pods(objects, {"certificate": "1f"})
    assert workload["spec"]["template"]["metadata"]["annotations"] == {"certificate": "1f"}
    assert service == objects[1]
    assert pod["metadata"] == {"labels": {}}
