"""The platform API's rights, read from its manifests: what no edit may widen unseen."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infraforge.cluster import manifests
from infraforge.components.namespaces import ALL
from infraforge.selftests import apps  # noqa: F401

limits = importlib.import_module("infraforge_platform_api.limits")

COMPONENTS = Path(__file__).parents[2] / "platform" / "components"
OWN = COMPONENTS / "platform-api"
LIMITS = limits.Limits.load(str(OWN / "limits.toml"))


def objects(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.rglob("*.yaml")):
        yield from (item for item in yaml.safe_load_all(path.read_text()) if item)


RULES = [
    rule
    for item in objects(OWN)
    if item["kind"] in ("Role", "ClusterRole")
    for rule in item["rules"]
]


def named(resource: str) -> set[str]:
    """Names of the objects of a resource that may be patched."""
    return {
        name
        for rule in RULES
        if resource in rule["resources"] and "patch" in rule["verbs"]
        for name in rule["resourceNames"]
    }


def test_what_may_be_patched_is_what_the_limits_allow() -> None:
    workloads = {
        (item["kind"], item["metadata"]["name"])
        for item in objects(COMPONENTS)
        if item["kind"] in ("Deployment", "StatefulSet")
    }
    deployments = {name for kind, name in workloads if kind == "Deployment"}
    assert named("deployments/scale") == set(LIMITS.most) <= deployments
    assert named("deployments") | named("statefulsets") == LIMITS.restart
    assert named("deployments") == LIMITS.restart & deployments


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_right_is_narrow(rule: Any) -> None:
    said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
    assert not said & {"*", "secrets", "pods/exec", "pods/log", "delete", "update", "impersonate"}
    assert "create" not in rule["verbs"] or rule["resources"] == ["tokenreviews"]
    assert "patch" not in rule["verbs"] or rule["resourceNames"]


def test_the_policy_that_judges_patches_is_in_force() -> None:
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in objects(OWN)
        if item["kind"] == "ValidatingAdmissionPolicy"
    }
    bound = {
        item["spec"]["policyName"]: item["spec"]["validationActions"]
        for item in objects(OWN)
        if item["kind"] == "ValidatingAdmissionPolicyBinding"
    }
    assert bound == {name: ["Deny"] for name in policies}
    assert {spec["failurePolicy"] for spec in policies.values()} == {"Fail"}
    judged = {
        resource
        for spec in policies.values()
        for rule in spec["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
    }
    patched = {
        resource for rule in RULES if "patch" in rule["verbs"] for resource in rule["resources"]
    }
    assert patched <= judged


def test_the_book_that_the_policy_calls_full_is_the_one_that_is_kept() -> None:
    (policy,) = (
        item["spec"]
        for item in objects(OWN)
        if item["kind"] == "ValidatingAdmissionPolicy"
        and item["metadata"]["name"] == "infraforge-platform-api-actions"
    )
    kept = importlib.import_module("infraforge_platform_api.config").Config().actions_kept
    removal = policy["validations"][1]["expression"]
    assert f"size(variables.new) >= {kept} " in removal


def test_no_generated_name_is_one_that_a_role_means() -> None:
    """kustomize would write the generated ConfigMap's name, hash and all, into the role."""
    told = yaml.safe_load((OWN / "kustomization.yaml").read_text())
    generated = {one["name"] for one in told["configMapGenerator"]}
    assert not generated & {name for rule in RULES for name in rule.get("resourceNames", ())}


def test_it_reads_every_namespace_of_the_platform() -> None:
    settings = dict(line.split("=", 1) for line in (OWN / "settings.env").read_text().splitlines())
    assert set(settings["NAMESPACES"].split(",")) == set(ALL)


def test_the_way_to_the_registry_leads_to_the_nodes_network_alone() -> None:
    changed = manifests.allow_node_networks(
        list(yaml.safe_load_all((OWN / "networkpolicy.yaml").read_text())), ["172.18.0.0/16"]
    )
    ways = {
        item["metadata"]["name"]: [
            peer["ipBlock"]["cidr"]
            for rule in item["spec"].get("egress", ())
            for peer in rule["to"]
        ]
        for item in changed
    }
    assert ways == {
        "platform-api": [],
        "platform-api-api-server": ["0.0.0.0/0", "172.18.0.0/16"],
        "platform-api-registry": ["172.18.0.0/16"],
    }
