"""Stand-ins for what a platform needs, and for steps of a stand-up that are not under test."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from infraforge import stack
from infraforge.cluster import install, kind, node_files, state
from infraforge.images.catalogue import Catalogue
from infraforge.note import Brought, Note
from infraforge.profile import Ports, Profile

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


def free_ports() -> tuple[int, int]:
    """Two ports of 127.0.0.1 that nobody listens on."""
    anywhere = ("127.0.0.1", 0)
    with socket.create_server(anywhere) as one, socket.create_server(anywhere) as other:
        return one.getsockname()[1], other.getsockname()[1]


def note(name: str = "infraforge", brought_one: Brought | None = None) -> None:
    Note("minimal", Ports(), "https://127.0.0.1:8443", {}, {}, True, {}, brought_one).write(name)


def digests() -> dict[str, str]:
    """A digest for each image of the catalogue that the registry has: canonical reference → it."""
    catalogue = Catalogue.load(stack.TREE)
    return {
        catalogue.reference(name): f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        for name, image in catalogue.images.items()
        if not image.local
    }


DEAD = "http://127.0.0.1:9"
"""Nobody listens there."""


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
            (stack.supply, "images_for"),
            (stack.supply, "start_registry"),
            (stack.up.build, "record"),
            (kind.Kind, "create"),
            (install, "install"),
            (install, "wait_ready"),
            (install, "wait_seen"),
            (node_files, "refresh"),
            (stack.Platform, "deploy"),
            (stack.Platform, "wait_open"),
        ):
            monkeypatch.setattr(module, name, noted(name))
        monkeypatch.setattr(stack.authorities, "authority", lambda _name: None)
        # whatever else runs on this machine, a platform of its own for instance
        https, http = free_ports()
        monkeypatch.setenv("INFRAFORGE_HTTPS_PORT", str(https))
        monkeypatch.setenv("INFRAFORGE_HTTP_PORT", str(http))

    def run(self) -> None:
        stack.stand_up("infraforge", Profile.load("minimal", stack.TREE))
