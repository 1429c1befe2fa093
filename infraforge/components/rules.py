"""Numbers that cannot work together are refused, with the rule, before anything is deployed.

Read from the files of a profile's components and of the overlays it chooses, so that a profile, an
overlay and a manifest that a sabotage changed are judged alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from infraforge.cluster import overlays
from infraforge.cluster.manifests import Object
from infraforge.components import redis_members, redis_rules
from infraforge.errors import UsageError
from infraforge.profile import Profile

_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"
_PATRONI = "patroni.yml"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def check(profile: Profile, tree: Path) -> None:
    """Raise UsageError naming the first component whose numbers cannot work, and the rule."""
    for name, settings in profile.components.items():
        folder = tree / "components" / name
        chosen = overlays.chosen(folder, settings.get("overlays", ()))
        folders = [folder, *chosen]
        replicas = int(settings.get("replicas", 1))
        troubles = [*_spread(folders, replicas, profile), *_patroni(folders, replicas)]
        troubles += redis_rules.unwatched(profile, name)
        if name == redis_members.SENTINEL:
            troubles += redis_rules.troubles(profile, tree)
        for trouble in troubles:
            raise UsageError(f"profile {profile.name}, component {name}: {trouble}")


def impossible_budgets(objects: Sequence[Object]) -> list[str]:
    """Disruption budgets that allow no disruption, ever: no node could be drained any more.

    Only whole numbers are judged where the workload's size is known; percentages round up.
    """
    sizes = {
        _labels(item): int(item["spec"].get("replicas", 1))
        for item in objects
        if item["kind"] in ("Deployment", "StatefulSet")
    }
    told = []
    for item in objects:
        if item["kind"] != "PodDisruptionBudget":
            continue
        spec, name = item["spec"], item["metadata"]["name"]
        wanted = set(spec["selector"]["matchLabels"].items())
        size = sum(count for labels, count in sizes.items() if wanted <= set(labels))
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if size == 0:
            told.append(f"disruption budget {name} is about no workload of its component")
        if most in (0, "0%"):
            told.append(f"disruption budget {name} allows none to be away (maxUnavailable {most})")
        if least == "100%" or (isinstance(least, int) and least >= size):
            told.append(f"disruption budget {name} wants {least} of {size} available")
    return told


def patroni(folders: Sequence[Path]) -> Mapping[str, Any]:
    """Patroni's settings: `patroni.yml` of the first folder, with the others' `.yml` merged in.

    As Patroni does it (4.0.7, config.py): mappings are merged, anything else is replaced. Empty
    where there is no `patroni.yml`.
    """
    if not (folders[0] / _PATRONI).exists():
        return {}
    merged: dict[str, Any] = {}
    for path in (
        folders[0] / _PATRONI,
        *(p for f in folders[1:] for p in sorted(f.glob("*.yml"))),
    ):
        merged = _merge(merged, yaml.safe_load(path.read_text()) or {})
    return merged


def _spread(folders: Sequence[Path], replicas: int, profile: Profile) -> Iterator[str]:
    """Members that must not share a node need one each; zones must be there to be spread over."""
    nodes = max(1, profile.cluster.workers)
    if profile.cluster.workers and _tolerant(folders):
        nodes += 1
    for workload in _workloads(folders):
        spec = workload["spec"].get("template", {}).get("spec", {})
        anti = spec.get("affinity", {}).get("podAntiAffinity", {})
        keys = [
            term["topologyKey"]
            for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution", ())
        ]
        if _HOST in keys and replicas > nodes:
            yield (
                f"{replicas} members must not share a node, and there are {nodes} nodes for them "
                "(the rule: replicas <= cluster.workers, and one more where they tolerate the "
                "control plane)"
            )
        zoned = [
            one
            for one in spec.get("topologySpreadConstraints", ())
            if one["topologyKey"] == _ZONE and one["whenUnsatisfiable"] == "DoNotSchedule"
        ]
        if zoned and not profile.cluster.zones:
            yield "its members are spread over zones, and the profile has none (cluster.zones)"


def _tolerant(folders: Sequence[Path]) -> bool:
    """Whether its pods may run on the control plane, too."""
    return any(
        one.get("key") == _CONTROL_PLANE
        for workload in _workloads(folders)
        for one in workload["spec"].get("template", {}).get("spec", {}).get("tolerations", ())
    )


def _patroni(folders: Sequence[Path], replicas: int) -> Iterator[str]:
    settings = patroni(folders)
    if not settings:
        return
    dcs = settings["bootstrap"]["dcs"]
    ttl, loop, retry = (int(dcs[key]) for key in ("ttl", "loop_wait", "retry_timeout"))
    if loop + 2 * retry > ttl:
        yield (
            f"loop_wait {loop} + 2 * retry_timeout {retry} = {loop + 2 * retry} is more than ttl "
            f"{ttl} (Patroni's rule: loop_wait + 2 * retry_timeout <= ttl)"
        )
    if str(dcs.get("synchronous_mode", "off")).lower() in ("true", "on", "quorum"):
        standbys = int(dcs.get("synchronous_node_count", 1))
        if replicas < 1 + standbys:
            yield (
                f"commits wait for {standbys} standby, and there are {replicas} members in all "
                "(the rule: replicas >= 1 + synchronous_node_count)"
            )
        yield from _watchdog(folders, ttl, loop)


def _watchdog(folders: Sequence[Path], ttl: int, loop: int) -> Iterator[str]:
    """A frozen member must be killed before its lock ends and another is promoted."""
    probe: dict[str, Any] = {}
    for workload in _workloads(folders):
        for box in workload["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            if box["name"] == "postgres":
                probe = _merge(probe, box.get("livenessProbe", {}))
    grace = int(probe.get("terminationGracePeriodSeconds", 30))
    period, patience = int(probe["periodSeconds"]), int(probe["timeoutSeconds"])
    killed = period * int(probe["failureThreshold"]) + patience + grace
    if killed >= ttl - loop:
        yield (
            f"a frozen member is killed after up to {killed} s, and its lock may end after "
            f"{ttl - loop} s (the rule, of its liveness probe: periodSeconds * failureThreshold "
            "+ timeoutSeconds + terminationGracePeriodSeconds < ttl - loop_wait)"
        )


def _workloads(folders: Sequence[Path]) -> Iterator[Object]:
    """Deployments and StatefulSets, or what is put over them, in the order of the folders."""
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            for item in yaml.safe_load_all(path.read_text()):
                if isinstance(item, dict) and item.get("kind") in ("Deployment", "StatefulSet"):
                    yield item


def _labels(workload: Object) -> frozenset[tuple[str, str]]:
    return frozenset(workload["spec"]["template"]["metadata"]["labels"].items())


def _merge(under: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in above.items():
        there = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(there, Mapping)
        merged[key] = _merge(there, value) if both else value  # type: ignore[arg-type]
    return merged
