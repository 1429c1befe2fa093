"""PostgreSQL's members by name: who connects names them all, and follows the primary.

The Service `postgres` follows a label that the primary's Patroni sets. A primary that was cut off
cannot take it away, and the label is there before PostgreSQL is promoted: a writer may be led to a
server that takes no writes, for as long as a node that is away is not known to be (about 50 s). So
with several members each is named, and the client asks the server whether it takes writes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from infraforge.cluster import manifests
from infraforge.profile import Profile

COMPONENT = "postgres"
SERVICE = "postgres.infraforge-data.svc"
DOMAIN = "postgres-internal.infraforge-data.svc.cluster.local"
VARIABLE = "POSTGRES_HOST"
CONNECT_SECONDS = 2
"""For one member to answer; the least that libpq takes."""


def of(profile: Profile) -> list[str]:
    """The names of PostgreSQL's pods in this profile; of one where it does not say how many."""
    settings = profile.components.get(COMPONENT, {})
    return [f"{COMPONENT}-{number}" for number in range(int(settings.get("replicas", 1)))]


def hosts(pods: Sequence[str]) -> list[str]:
    """Where clients connect: the Service of a single member, else each member's own name."""
    if len(pods) == 1:
        return [SERVICE]
    return [f"{pod}.{DOMAIN}" for pod in pods]


def url(pods: Sequence[str], database: str) -> str:
    """A connection URI for Vault, which puts user and password in."""
    # without ports where there are several: some versions of Go's URL parser refuse more than one
    places = ",".join(hosts(pods)) if len(pods) > 1 else f"{SERVICE}:5432"
    text = (
        f"postgresql://{{{{username}}}}:{{{{password}}}}@{places}/{database}"
        "?sslmode=verify-full&sslrootcert=/etc/platform-ca/ca.crt"
    )
    if len(pods) > 1:
        text += f"&target_session_attrs=read-write&connect_timeout={CONNECT_SECONDS}"
    return text


def named_in(objects: Sequence[manifests.Object], pods: Sequence[str]) -> list[manifests.Object]:
    """The same objects; containers that ask for `POSTGRES_HOST` are told these members' names."""
    changed = [copy.deepcopy(item) for item in objects]
    for item in changed:
        for container in manifests.containers(item):
            for variable in container.get("env", ()):
                if variable["name"] == VARIABLE:
                    variable["value"] = ",".join(hosts(pods))
    return changed
