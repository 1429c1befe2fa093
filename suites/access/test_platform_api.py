"""The platform API through the front door: what it reports, what it changes, and for whom."""

import secrets
from functools import partial

import allure
import pytest

from infraforge import faults
from infraforge.errors import Inconclusive
from infraforge.judging import judge
from infraforge.verdict import control
from infraforge.wait import wait_until
from infraforge.workloads import described
from infraforge.workloads.backend_client import Refused, Unknown
from infraforge.workloads.platform_client import PlatformClient
from infraforge.workloads.visitor import Visitor

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6"),
]

REGISTRY_HERE = "https://127.0.0.1:5001"
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
OURS = "app.kubernetes.io/part-of=infraforge"
SCALED = "login"
SEED = secrets.randbits(32)
EXAMPLES = 25

# Changes target a component that does not exist: an allowed role gets 404, and nothing changes.
PATHS = {
    "read the description": ("GET", "/api/platform/openapi.json"),
    "list components": ("GET", "/api/platform/components"),
    "read a component": ("GET", "/api/platform/components/backend"),
    "read the registry": ("GET", "/api/platform/registry"),
    "scale": ("PUT", "/api/platform/components/nobody/scale"),
    "restart": ("POST", "/api/platform/components/nobody/restart"),
    "read the action log": ("GET", "/api/platform/actions"),
}
READING = {name for name, (method, _) in PATHS.items() if method == "GET"} - {"read the action log"}
MAY = {"admin": set(PATHS), "developer": READING, "viewer": READING, "in no group": set()}


def test_every_component_reports_health_version_and_digest(platform, viewer, evidence):
    """Every component is reported as healthy, with the digests that its pods really run."""
    told = PlatformClient.of(viewer).components()
    cells, declared = {}, {}
    for row in platform.status():
        component = told.get(row.name)
        pods = platform.site.core.list_namespaced_pod(
            row.namespace, label_selector=f"app.kubernetes.io/name={row.name},{OURS}"
        ).items
        statuses = [one for pod in pods for one in pod.status.container_statuses or ()]
        declared |= {
            (row.name, "status"): "healthy",
            (row.name, "ready"): row.wanted,
            (row.name, "pinned"): joined(image for image in row.images),
            (row.name, "running"): joined(one.image_id.partition("@")[2] for one in statuses),
        }
        control(row.images and statuses, f"the API server lists no pod of {row.name}")
        if component is None:
            raise AssertionError(f"the platform API reports only {sorted(told)}, not {row.name}")
        cells |= {
            (row.name, "status"): component.status,
            (row.name, "ready"): component.ready,
            (row.name, "pinned"): joined(
                f"{one.reference}@{one.pinned}" for one in component.images
            ),
            (row.name, "running"): joined(
                one for image in component.images for one in image.running
            ),
        }
        assert component.images
        assert all(image.version for image in component.images), component
    judge(cells, declared, evidence)


def test_reported_registry_state_matches_the_registry(platform, viewer, evidence):
    """For each image in use the API reports rightly which digests the registry holds and tags."""
    told = PlatformClient.of(viewer).registry()
    evidence.attach(told)
    control(
        told["registry"]["reachable"],
        f"the platform API cannot reach the registry: {told['registry']}",
    )
    here = Visitor(REGISTRY_HERE, platform.site.registry_ca_file)
    cells, declared = {}, {}
    for image in told["images"]:
        repository, _, tag = image["reference"].rpartition(":")
        ask = partial(held, here, repository.partition("/")[2])
        row = image["reference"]
        cells |= {(row, "held"): image["held"], (row, "tagged"): image["tagged"]}
        declared |= {(row, "held"): bool(ask(image["pinned"])), (row, "tagged"): ask(tag)}
        assert image["running"] == [image["pinned"]], image
    in_use = {one.rpartition(":")[0] for one, _ in cells}
    control(
        "ghcr.io/tca-infraforge/platform-api" in in_use, f"the list of images lacks some: {in_use}"
    )
    judge(cells, declared, evidence)


def test_each_role_has_exactly_its_rights_to_the_platform(front_door, people, evidence):
    """Viewers and developers may read; only admins may make changes and see who made them."""
    visitors = {"nobody": front_door.anonymous()}
    for role in MAY:
        person = people.make(*([] if role == "in no group" else [role]))
        visitors[role] = front_door.sign_in(person.name, person.password)
    cells = {}
    for role, visitor in visitors.items():
        for name, (method, path) in PATHS.items():
            body = {"replicas": 1} if method == "PUT" else None
            status = visitor.ask(method, path, json=body).status_code
            allowed = 200 if method == "GET" else 404
            said = {401: "sign in", 403: "denied", allowed: "allowed"}
            cells[role, name] = said.get(status, status)
    declared = {
        (role, name): "allowed" if name in MAY.get(role, ()) else "denied" for role, name in cells
    }
    judge(cells, declared | {("nobody", name): "sign in" for name in PATHS}, evidence)


def test_responses_match_the_openapi_description_for_any_input(platform, admin, evidence):
    """Every read matches the OpenAPI description, even for random input, and none fails."""
    asked = described.ask(
        PlatformClient.of(admin).description(),
        lambda case: case.call(
            base_url=platform.origin, session=admin.session, verify=admin.session.verify
        ),
        seed=SEED,
        examples=EXAMPLES,
        known={"name": ["backend", "postgres"]},
    )
    print(asked)
    evidence.attach(asked=str(asked))
    assert not asked.complaints, str(asked)
    silent = [name for name, counted in asked.statuses.items() if 200 not in counted]
    control(asked.statuses and not silent, f"endpoints that never returned 200: {silent or 'all'}")


BODIES = (
    {"replicas": 0},
    {"replicas": -1},
    {"replicas": 99},
    {"replicas": 2**63},
    {"replicas": 1.5},
    {"replicas": True},
    {"replicas": "1"},
    {"replicas": None},
    {"replicas": 1, "force": True},
    {"Replicas": 1},
    {},
    [],
    "1",
    None,
)


def test_a_change_out_of_bounds_is_refused_without_effect(admin, evidence):
    """Only stateless components can be scaled, and only from 1 to their declared maximum."""
    user = PlatformClient.of(admin)
    before, written = shape(user), user.actions(1)
    control(SCALED in before, f"the platform API does not list {SCALED}")
    too_many = {"replicas": user.component(SCALED).most + 1}
    asked = {
        f"{SCALED} {body}": admin.session.ask("PUT", scale_path(SCALED), json=body).status_code
        for body in (*BODIES, too_many)
    }
    for name in ("postgres", "vault", "redis-cache"):
        asked[f"{name}, 1"] = admin.session.ask(
            "PUT", scale_path(name), json={"replicas": 1}
        ).status_code
    evidence.attach(asked)
    assert {status for name, status in asked.items() if name.startswith(SCALED)} <= {415, 422}
    assert {status for name, status in asked.items() if name.endswith(", 1")} == {409}
    assert shape(user) == before
    assert user.actions(1) == written


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-2")
def test_a_component_is_scaled_up_and_down(platform, front_door, people, nemesis, evidence):
    """An admin's change shows as degraded, then takes effect, and is recorded with its actor."""
    nemesis.owe(faults.Rescale.of(platform.site, SCALED), f"scale {SCALED}")
    person = people.make("admin")
    user = PlatformClient(front_door.sign_in(person.name, person.password), platform.origin)
    before = user.component(SCALED)
    control(
        (before.status, before.wanted) == ("healthy", 1), f"before the test {SCALED} was {before}"
    )
    try:
        up = user.scale(SCALED, 2)
        on_the_way = user.component(SCALED)
        becomes(platform, user, SCALED, 2)
    finally:
        down = user.scale(SCALED, 1)
        becomes(platform, user, SCALED, 1)
    written = {item["id"]: item for item in user.actions()}
    evidence.attach(on_the_way=str(on_the_way), up=written[up], down=written[down])
    assert (on_the_way.status, on_the_way.ready, on_the_way.wanted) == ("degraded", 1, 2)
    assert [summary(written[key]) for key in (up, down)] == [
        (person.name, "admin", "scale", SCALED, "replicas 1 to 2", "done"),
        (person.name, "admin", "scale", SCALED, "replicas 2 to 1", "done"),
    ]


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-2")
def test_a_restart_replaces_every_pod_and_is_recorded(platform, front_door, people, evidence):
    """A restart replaces all pods, leaves the component healthy, and is recorded with its actor."""
    person = people.make("admin")
    user = PlatformClient(front_door.sign_in(person.name, person.password), platform.origin)
    before = pods(platform, SCALED)
    action = user.restart(SCALED)
    wait_until(
        lambda: pods(platform, SCALED).isdisjoint(before) and pods(platform, SCALED),
        within=platform.profile.budgets.rejoin,
        what=f"every pod of {SCALED} is a new one",
        broken=True,
    )
    becomes(platform, user, SCALED, 1)
    written = next(item for item in user.actions() if item["id"] == action)
    evidence.attach(before=str(before), after=str(pods(platform, SCALED)), written=written)
    assert summary(written) == (person.name, "admin", "restart", SCALED, "all pods", "done")


def becomes(platform, user, name, replicas):
    """Wait until platform API and cluster agree that so many replicas are healthy."""
    wait_until(
        lambda: (
            (component := user.component(name)).status == "healthy"
            and component.ready == replicas
            and len(pods(platform, name)) == replicas
        ),
        within=platform.profile.budgets.rejoin,
        what=f"{name} is healthy with {replicas} replicas",
        ignoring=(Unknown, Refused),
        broken=True,
    )


def pods(platform, name):
    """Names of the component's pods, terminating ones included."""
    listed = platform.site.core.list_pod_for_all_namespaces(
        label_selector=f"app.kubernetes.io/name={name},{OURS}"
    )
    return {pod.metadata.name for pod in listed.items}


def shape(user):
    return {name: (one.wanted, one.images) for name, one in user.components().items()}


def summary(item):
    return tuple(item[key] for key in ("actor", "role", "action", "component", "detail", "outcome"))


def scale_path(name):
    return f"/api/platform/components/{name}/scale"


def joined(values):
    return " ".join(sorted(set(values)))


def held(here, repository, reference):
    """The digest that the registry holds for a tag or digest, or None; asked from this machine."""
    answer = here.ask(
        "HEAD", f"/v2/{repository}/manifests/{reference}", headers={"Accept": MANIFESTS}
    )
    if answer.status_code not in (200, 404):
        raise Inconclusive(f"{repository}: the registry returns {answer.status_code}")
    return answer.headers.get("Docker-Content-Digest") if answer.ok else None
