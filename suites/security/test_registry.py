"""Access to a node is not enough to change the images that the cluster runs."""

from __future__ import annotations

import pytest
from kubernetes import client

from infraforge import judging
from infraforge.components.site import SYSTEM
from infraforge.errors import Inconclusive
from infraforge.probes import registry_reach, running_images
from infraforge.table import Table

READER_OF_DIGESTS = "platform-api"
"""The only component whose pod may reach the registry."""


@pytest.mark.control("SOC2-CC6.3", "NIST-AC-6", "NIST-SI-7")
def test_nodes_and_pods_can_pull_but_not_push(platform, nodes, evidence):
    """The registry reachable from nodes and pods serves images by digest and refuses every push."""
    site = platform.site
    image = pinned_image(site)
    asks = {node: registry_reach.from_node(site, node) for node in nodes}
    asks[READER_OF_DIGESTS] = registry_reach.from_pod(site, READER_OF_DIGESTS)
    judge(
        {who: registry_reach.requests(ask, image) for who, ask in asks.items()},
        {who: registry_reach.declared_requests() for who in asks},
        evidence,
    )


@pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.22", "NIST-SC-7")
def test_nodes_and_pods_cannot_reach_the_writable_registry(platform, nodes, evidence):
    """A node or pod can connect to the read-only registry only."""
    site, reader = platform.site, registry_reach.readers_address()
    writer, *gateways = registry_reach.writers_addresses()
    if registry_reach.connects_from_here(*writer) != registry_reach.OPEN:
        raise Inconclusive(f"the writable registry does not listen at {writer}")
    tries = {node: registry_reach.connects_from_node(site, node) for node in nodes}
    tries[READER_OF_DIGESTS] = registry_reach.connects_from_pod(site, READER_OF_DIGESTS)
    wanted = {reader: registry_reach.OPEN} | dict.fromkeys(
        (writer, *gateways), registry_reach.BLOCKED
    )
    judge(
        {
            who: {place(where): attempt(*where) for where in wanted}
            for who, attempt in tries.items()
        },
        {who: {place(where): word for where, word in wanted.items()} for who in tries},
        evidence,
    )


@pytest.mark.control("SOC2-CC6.3", "NIST-SI-7")
def test_every_running_image_is_named_by_digest(platform, nodes, evidence):
    """Every image in use, those of Kubernetes and of pod sandboxes included, is named by digest."""
    by_tag = client.V1Pod(
        metadata=client.V1ObjectMeta(name="probe", namespace="default"),
        spec=client.V1PodSpec(
            containers=[
                client.V1Container(name="probe", image="ghcr.io/tca-infraforge/pause:1.0.0")
            ]
        ),
    )
    if running_images.BY_DIGEST in running_images.named([by_tag]).values():
        raise Inconclusive("the probe does not recognize an image named by a tag")
    images = {**running_images.of_pods(platform.site), **running_images.of_nodes(platform.site)}
    judge(
        {where: {"image": how} for where, how in images.items()},
        {where: {"image": running_images.BY_DIGEST} for where in images},
        evidence,
    )


@pytest.fixture
def nodes(platform) -> list[str]:
    """The names of the cluster's nodes."""
    return [node.metadata.name for node in platform.site.core.list_node().items]


def pinned_image(site):
    """A pinned image that runs on the cluster, so the registry must hold it."""
    pods = site.core.list_namespaced_pod(
        SYSTEM, label_selector=f"app.kubernetes.io/name={READER_OF_DIGESTS}"
    )
    return pods.items[0].spec.containers[0].image


def place(where):
    return "{}:{}".format(*where)


def judge(observed, declared, evidence):
    tables = [
        Table({(who, what): word for who, row in rows.items() for what, word in row.items()})
        for rows in (observed, declared)
    ]
    judging.judge(*tables, evidence)
