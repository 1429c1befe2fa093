"""The platform API's pure parts: a component's state, and that of its images."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401  makes the next imports possible

components = importlib.import_module("infraforge_platform_api.components")
images = importlib.import_module("infraforge_platform_api.images")
holdings = importlib.import_module("infraforge_platform_api.holdings")

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
LABELS = {"app.kubernetes.io/name": "login", "app.kubernetes.io/part-of": "infraforge"}
SETTLED = {"observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}


def workload(wanted: int = 2, **status: Any) -> dict[str, Any]:
    boxes = [{"name": "login", "image": f"ghcr.io/x/login:0.1.0@{ONE}"}]
    return {
        "metadata": {"name": "login", "namespace": "access", "generation": 3, "labels": LABELS},
        "spec": {"replicas": wanted, "template": {"spec": {"containers": boxes}}},
        "status": {**SETTLED, **status},
    }


def pod(name: str = "login-a", digest: str = ONE, **box: Any) -> dict[str, Any]:
    status = {"name": "login", "imageID": f"ghcr.io/x/login@{digest}", "restartCount": 1, **box}
    return {
        "metadata": {"name": name, "labels": LABELS},
        "status": {"containerStatuses": [{"ready": True, "state": {"running": {}}, **status}]},
    }


@pytest.mark.parametrize(
    ("wanted", "status", "word"),
    [
        (2, {}, "healthy"),
        (2, {"readyReplicas": 1}, "degraded"),
        (2, {"readyReplicas": 0}, "down"),
        (0, {"readyReplicas": 0, "replicas": 0, "updatedReplicas": 0}, "stopped"),
        (2, {"updatedReplicas": 1}, "updating"),
        (2, {"replicas": 3}, "updating"),
        (2, {"observedGeneration": 2}, "updating"),
        (1, {}, "updating"),
        (3, {}, "degraded"),
    ],
)
def test_status_is_one_word_for_what_the_cluster_says(
    wanted: int, status: dict[str, int], word: str
) -> None:
    component = components.component("Deployment", workload(wanted, **status), [pod()])
    assert component.status == word
    assert component.changing == (word == "updating" or component.replicas.updated < wanted)


def test_a_stateful_set_after_a_rollout_is_settled() -> None:
    status = {"currentRevision": "r1", "updateRevision": "r1", "updatedReplicas": 0}
    assert components.component("StatefulSet", workload(**status), []).status == "healthy"
    status["updateRevision"] = "r2"
    assert components.component("StatefulSet", workload(**status), []).status == "updating"


def test_version_digests_and_restarts_are_read_from_manifest_and_pods() -> None:
    leaving = pod("login-c", TWO)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    component = components.component(
        "Deployment", workload(), [pod(), pod("login-b"), leaving]
    ).document(3, restart=True)
    assert component["images"] == (
        {
            "container": "login",
            "reference": "ghcr.io/x/login:0.1.0",
            "version": "0.1.0",
            "pinned": ONE,
            "running": (ONE,),
        },
    )
    assert (component["restarts"], component["scale"], component["restart"]) == (
        2,
        {"least": 1, "most": 3},
        True,
    )


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ({"ready": False}, "login-a/login runs and is not ready"),
        (
            {"ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}},
            "login-a/login: ErrImagePull",
        ),
        (
            {"ready": False, "state": {"terminated": {"exitCode": 3}}},
            "login-a/login ended with 3",
        ),
    ],
)
def test_trouble_is_described_in_words(box: dict[str, Any], said: str) -> None:
    component = components.component("Deployment", workload(readyReplicas=1), [pod(**box)])
    assert component.trouble == (said,)


def test_only_what_is_labelled_as_the_platforms_is_a_component() -> None:
    foreign = workload()
    foreign["metadata"] = {**foreign["metadata"], "labels": {**LABELS, components.PART_OF: "x"}}
    other = workload()
    other["metadata"] = {**other["metadata"], "name": "login-of-somebody-else"}
    stranger = pod()
    stranger["metadata"]["labels"] = {components.NAME: "login"}
    ours = components.of_platform("Deployment", [workload(), foreign, other], [stranger])
    assert [one.name for one in ours] == ["login"]
    assert ours[0].restarts == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ghcr.io/x/login:0.1.0", ("ghcr.io/x/login", "0.1.0", "")),
        (f"ghcr.io/x/login:0.1.0@{ONE}", ("ghcr.io/x/login", "0.1.0", ONE)),
        ("localhost:5001/login", ("localhost:5001/login", "", "")),
        (f"login@{ONE}", ("login", "", ONE)),
        ("login@sha256:short", ("login", "", "")),
    ],
)
def test_image_references_are_parsed(text: str, parts: tuple[str, str, str]) -> None:
    reference = images.Reference.parse(text)
    assert (reference.repository, reference.tag, reference.digest) == parts


@pytest.mark.parametrize(
    ("pinned", "running", "held", "tagged", "word"),
    [
        (ONE, (ONE,), True, ONE, "current"),
        (ONE, (ONE,), True, TWO, "moved"),
        (ONE, (ONE,), False, None, "missing"),
        (ONE, (ONE,), None, None, "unknown"),
        (ONE, (ONE, TWO), True, ONE, "differs"),
        ("", (ONE,), True, ONE, "unpinned"),
    ],
)
def test_the_state_of_an_image_follows_from_its_digests(
    pinned: str, running: tuple[str, ...], held: bool | None, tagged: str | None, word: str
) -> None:
    assert images.state(pinned, running, held, tagged) == word


class OneRegistry:
    """Has `login` at ONE, and a tag that means TWO."""

    address = "https://registry"

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent

    def probe(self) -> None:
        if self.silent:
            raise importlib.import_module("infraforge_platform_api.registry").NoAnswer("away")

    def digest(self, repository: str, reference: str) -> str | None:
        assert not self.silent
        return {ONE: ONE, "0.1.0": TWO}.get(reference) if repository == "ghcr.io/x/login" else None


def test_images_in_use_are_compared_with_the_registry() -> None:
    used = holdings.in_use([components.component("Deployment", workload(), [pod()])])
    answered = holdings.look(OneRegistry(), used)
    assert answered["registry"]["reachable"] is True
    assert [(row["held"], row["tagged"], row["state"]) for row in answered["images"]] == [
        (True, TWO, "moved")
    ]
    silent = holdings.look(OneRegistry(silent=True), used)
    assert silent["registry"] == {
        "address": "https://registry",
        "reachable": False,
        "detail": "away",
    }
    assert [row["state"] for row in silent["images"]] == ["unknown"]
