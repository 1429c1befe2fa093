"""Where sentinels and members are, and that the names by which they are told are their own."""

from __future__ import annotations

import socket
import ssl

import pytest

from infraforge.components import redis_members
from infraforge.components.redis_members import GROUPS, SENTINEL
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.errors import ClusterError
from infraforge.judging import judge
from infraforge.probes import placement
from infraforge.wait import wait_until

WATCHED = (SENTINEL, *(component for component, _ in GROUPS.values()))
ANSWERS = 5.0


@pytest.mark.parametrize("component", WATCHED)
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14")
def test_servers_and_sentinels_share_neither_a_node_nor_a_zone(platform, evidence, component):
    """Each has a node to itself among its kind, and a zone where there are zones."""
    found = placement.of(platform.site, component)
    zones = platform.profile.cluster.zones
    evidence.attach(found)
    assert len(found.places) > 1
    assert len({place.node for place in found.places}) == len(found.places)
    assert "kubernetes.io/hostname" in found.apart_by
    if zones:
        assert {place.zone for place in found.places} == set(zones)
        assert "topology.kubernetes.io/zone" in found.spread_over


@pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")
def test_sentinels_tell_names_that_certificates_vouch_for(platform, evidence):
    """Every master's and replica's address is a name, and its certificate is verified by it."""
    site = platform.site
    told = wait_until(
        lambda: addresses(site),
        platform.profile.budgets.rejoin,
        what="all sentinels answer",
        ignoring=(ClusterError,),
    )
    declared = {
        redis_members.full_name(component, namespace, pod)
        for component, namespace in GROUPS.values()
        for pod in redis_members.of(site.profile, component)
    }
    verified = {
        ("certificate of", name): "verified" if vouched(site, name) else "refused" for name in told
    }
    assert told == declared
    judge(verified, dict.fromkeys(verified, "verified"), evidence)


def addresses(site) -> set[str]:
    """Everything that any sentinel names as the address of a member."""
    found = set()
    for pod in redis_members.sentinels(site.profile):
        with RedisSentinel().connected(site, f"pod/{pod}", "observer") as client:
            for group in GROUPS:
                master = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)
                found.add(text(master[0]))
                for one in client.execute_command("SENTINEL", "REPLICAS", group):
                    words = [text(word) for word in (flat(one))]
                    found.add(dict(zip(words[::2], words[1::2], strict=True))["ip"])
    return found


def flat(answer) -> list:
    """Keys and values in turn, however redis-py gives them."""
    if isinstance(answer, dict):
        return [word for pair in answer.items() for word in pair]
    return list(answer)


def text(word) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def vouched(site, name: str) -> bool:
    """Whether what answers in that member's place shows a certificate for its name."""
    pod, _, rest = name.partition(".")
    namespace = rest.split(".")[1]
    trust = ssl.create_default_context(cafile=str(site.ca_file))
    with (
        site.forward(namespace, f"pod/{pod}", 6379) as port,
        socket.create_connection(("localhost", port), timeout=ANSWERS) as plain,
    ):
        try:
            with trust.wrap_socket(plain, server_hostname=name) as secured:
                return bool(secured.getpeercert())
        except ssl.SSLCertVerificationError:
            return False
