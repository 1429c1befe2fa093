"""Probes of running images and of the registry: a failed probe is never taken for a refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infraforge.checkers import cells_match
from infraforge.probes import registry_reach, running_images
from infraforge.table import Table
from infraforge.verdict import Outcome

IMAGE = f"ghcr.io/platform/app:1.0@sha256:{'ab' * 32}"


def verdict(pull: int, post: int, put: int) -> Outcome:
    """Of a registry that answers so."""
    asked = []

    def ask(method: str, url: str) -> int:
        asked.append((method, url))
        return {"GET": pull, "POST": post, "PUT": put}[method]

    answers = registry_reach.requests(ask, IMAGE)
    at = "https://infraforge-registry:5000/v2/platform/app/"
    assert {url.removeprefix(at) for _, url in asked} == {
        f"manifests/sha256:{'ab' * 32}",
        "blobs/uploads/",
        "manifests/infraforge-probe",
    }
    tables = [
        Table({("node", what): cell for what, cell in row.items()})
        for row in (answers, registry_reach.declared_requests())
    ]
    return cells_match(*tables).outcome


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 405, 405), Outcome.HOLDS),
        ((200, 403, 401), Outcome.HOLDS),
        ((200, 202, 405), Outcome.BROKEN),
        ((200, 405, 201), Outcome.BROKEN),
        ((200, 405, 400), Outcome.BROKEN),  # looked at, and found not to be a manifest
        ((404, 405, 405), Outcome.UNKNOWN),  # the control: who cannot pull shows nothing
        ((0, 405, 405), Outcome.UNKNOWN),
        ((200, 0, 405), Outcome.UNKNOWN),
        ((200, 405, 500), Outcome.UNKNOWN),
    ],
)
def test_only_an_explicit_refusal_counts_for_a_push(
    statuses: tuple[int, int, int], outcome: Outcome
) -> None:
    assert verdict(*statuses) is outcome


@pytest.mark.parametrize(
    ("said", "found"),
    [("000 7", "blocked"), ("000 28", "blocked"), ("200 0", "open"), ("000 35", "open")],
)
def test_curls_exit_code_tells_open_from_blocked(
    monkeypatch: pytest.MonkeyPatch, said: str, found: str
) -> None:
    monkeypatch.setattr(registry_reach.containers, "on_node", lambda *_argv: said)
    site: Any = None
    assert registry_reach.connects_from_node(site, "node")("192.0.2.1", 5000) == found


def test_a_curl_that_could_not_run_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_reach.containers, "on_node", lambda *_argv: " 127")
    site: Any = None
    assert registry_reach.connects_from_node(site, "node")("192.0.2.1", 5000) is None
    assert registry_reach.from_node(site, "node")("POST", "https://x") == 0


def test_an_image_is_judged_by_its_name() -> None:
    """Init and ephemeral containers run as well."""
    box = SimpleNamespace
    pod = SimpleNamespace(
        metadata=SimpleNamespace(namespace="n", name="p"),
        spec=SimpleNamespace(
            init_containers=[box(name="first", image="a/b:1")],
            containers=[box(name="main", image=IMAGE)],
            ephemeral_containers=[box(name="shell", image="a/c")],
        ),
    )
    by = running_images.BY_DIGEST
    assert running_images.named([pod]) == {"n/p first": "a/b:1", "n/p main": by, "n/p shell": "a/c"}


def test_sandboxes_are_among_what_a_node_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"CONTAINER    IMAGE    RUNTIME\nc1   {IMAGE}   io.x\nc2   a/pause:1   io.x\n"
    monkeypatch.setattr(running_images.containers, "ctr", lambda *_argv: table)
    node = SimpleNamespace(metadata=SimpleNamespace(name="w"))
    site: Any = SimpleNamespace(
        core=SimpleNamespace(list_node=lambda: SimpleNamespace(items=[node]))
    )
    assert running_images.of_nodes(site) == {
        f"w {IMAGE}": running_images.BY_DIGEST,
        "w a/pause:1": "a/pause:1",
    }
