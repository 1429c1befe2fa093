"""Connections that never send a request, opened from a node, which has its own address."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infraforge.cluster.kind_config import HTTPS_NODE_PORT
from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import Inconclusive
from infraforge.wait import Deadline

_EVERY = 0.2
_LONGEST = 120.0
# Connections that the server closed are in CLOSE-WAIT here; the ones it kept are ESTABLISHED.
_SCRIPT = """
ulimit -n 8192
opened=0
for _ in $(seq "$2"); do
  { exec {fd}<>"/dev/tcp/$1/$3"; } 2>/dev/null && opened=$((opened + 1))
done
sleep "$4"
kept=$(ss -Htn state established dst "$1:$3" | wc -l)
echo "$opened $kept"
"""


@dataclass(frozen=True)
class HalfSent:
    """How many connections were opened, and how many of them the server kept."""

    opened: int
    kept: int


def half_sent(
    site: Site, number: int, *, hold: int, meanwhile: Callable[[], None] = lambda: None
) -> HalfSent:
    """Open `number` connections to the front door and send nothing for `hold` seconds.

    meanwhile: called repeatedly until they are closed. Raises Unable where commands cannot be run
    on nodes, Inconclusive where the node's output is not the two numbers.
    """
    cluster = containers.nodes(site)
    listed: Any = site.core.list_node(label_selector="infraforge.io/ingress=true")
    node = listed.items[0]
    (address,) = (a.address for a in node.status.addresses if a.type == "InternalIP")
    script = ("bash", "-c", _SCRIPT, "half-sent", address, str(number))
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(
            cluster.on_node, node.metadata.name, *script, str(HTTPS_NODE_PORT), str(hold)
        )
        deadline = Deadline(_LONGEST)
        while not told.done() and not deadline.passed:
            meanwhile()
            deadline.pause(_EVERY)
        words = told.result().split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise Inconclusive(f"{node.metadata.name} printed {words!r} instead of two numbers")
    return HalfSent(int(words[0]), int(words[1]))
