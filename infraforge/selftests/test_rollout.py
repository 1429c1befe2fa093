"""When a workload counts as ready, and what is reported of a pod that is not."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest

from infraforge.cluster.apply import Reference
from infraforge.components.readiness import hopeless, pod_trouble, workload_ready
from infraforge.components.rendered import Record


def deployment(**status: Any) -> Any:
    """Two replicas wanted, generation 3; all well but for `status`."""
    well = {
        "observed_generation": 3,
        "replicas": 2,
        "ready_replicas": 2,
        "updated_replicas": 2,
    }
    return Some(metadata=Some(generation=3), spec=Some(replicas=2), status=Some(**(well | status)))


def test_all_replicas_of_the_present_generation_are_ready() -> None:
    assert workload_ready(deployment())


@pytest.mark.parametrize(
    "status",
    [
        {"observed_generation": 2},
        {"observed_generation": None},
        {"ready_replicas": 1},
        {"ready_replicas": None},
        {"updated_replicas": 1},
        {"replicas": 3},  # one of the old generation is left
    ],
)
def test_anything_less_is_not_ready(status: dict[str, Any]) -> None:
    assert not workload_ready(deployment(**status))


def test_a_stateful_set_is_ready_in_its_present_revision_only() -> None:
    both = {"current_revision": "a", "update_revision": "a", "updated_replicas": None}
    assert workload_ready(deployment(**both))
    assert not workload_ready(deployment(**(both | {"update_revision": "b"})))


def box(name: str, ready: bool = False, **state: Any) -> Any:
    found = {"waiting": None, "running": None, "terminated": None} | state
    return Some(
        name=name,
        ready=ready,
        restart_count=0,
        state=Some(**found),
        last_state=Some(terminated=None),
    )


def pod(*boxes: Any, phase: str = "Running", conditions: tuple[Any, ...] = ()) -> Any:
    status = Some(
        phase=phase,
        conditions=conditions,
        init_container_statuses=None,
        container_statuses=list(boxes) or None,
    )
    return Some(metadata=Some(name="web-0"), status=status)


def test_trouble_is_told_by_its_reason() -> None:
    pull = Some(reason="ErrImagePull", message="not found")
    assert pod_trouble(pod(box("web", waiting=pull))) == "web-0/web: ErrImagePull: not found"
    assert "readiness probe fails" in pod_trouble(pod(box("web", running=Some())))
    nowhere = Some(type="PodScheduled", status="False", message="0/1 nodes: insufficient cpu")
    assert "insufficient cpu" in pod_trouble(pod(phase="Pending", conditions=(nowhere,)))
    assert "no container was begun" in pod_trouble(pod(phase="Pending"))
    assert pod_trouble(pod(box("web", ready=True, running=Some()))) == ""


def test_what_was_applied_can_be_read_back() -> None:
    record = Record("abc", (Reference("v1", "Service", "infraforge-data", "postgres"),))
    assert Record.parse(record.dump()) == record


def test_some_troubles_do_not_pass_however_long_one_waits() -> None:
    assert "InvalidImageName" in hopeless("probe/probe: InvalidImageName: of nothing")
    for passing in ("probe/probe: ErrImagePull: refused", "probe is pending", None, True):
        assert hopeless(passing) == ""
