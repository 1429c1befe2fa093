"""The cluster's events, pod states and logs since a given time, for the diagnosis of a failure.

Read-only and without secrets: no environment, no Secret; text in logs that looks like a token is
masked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeAlias

import urllib3
from kubernetes import client

PREFIX = "infraforge-"
_TIMEOUT = 10
_LOG_LINES = 400
_LOG_BYTES = 200_000
_ERRORS = (client.ApiException, urllib3.exceptions.HTTPError)
_SECRET = re.compile(
    r"\bhv[sb]\.[\w-]{8,}"  # Vault's tokens
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # JSON web tokens
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"  # user:password in a URL
    r"|(?i:(?<=bearer )|(?<=password=)|(?<=secret=))[^\s\"'&,;]+"
)


def collect(api: client.ApiClient, since: datetime, prefix: str = PREFIX) -> Mapping[str, str]:
    """Events, pods and logs of the namespaces that begin with `prefix`: name → text.

    since: aware; events and log lines before it are left out. Never raises for what the cluster
    does not answer: the text says so instead.
    """
    core = client.CoreV1Api(api)
    try:
        pods = [pod for pod in _all(core.list_pod_for_all_namespaces) if _ours(pod, prefix)]
        events = [
            event for event in _all(core.list_event_for_all_namespaces) if _ours(event, prefix)
        ]
    except _ERRORS as error:
        return {"cluster": f"it did not answer: {_told(error)}"}
    texts = {"events": events_text(events, since), "pods": pods_text(pods)}
    wanted: list[_Place] = [
        (pod.metadata.namespace, pod.metadata.name, status.name, previous)
        for pod in pods
        for status in (
            *(pod.status.init_container_statuses or ()),
            *(pod.status.container_statuses or ()),
        )
        for previous in ((False, True) if _restarted_since(status, since) else (False,))
    ]
    with ThreadPoolExecutor(8) as pool:
        logs = pool.map(lambda place: _log(core, since, place), wanted)
        for (namespace, pod, container, previous), text in zip(wanted, logs, strict=True):
            if text:
                before = " before its restart" if previous else ""
                texts[f"log {namespace}/{pod} {container}{before}"] = text
    return texts


def events_text(events: Iterable[Any], since: datetime) -> str:
    """One line for each event since then, oldest first."""
    lines = sorted(
        f"{_when(event):%H:%M:%S}  {event.type:<7}  {event.involved_object.kind.lower()} "
        f"{event.metadata.namespace}/{event.involved_object.name}  {event.reason}: "
        f"{event.message}" + (f"  ({event.count} times)" if (event.count or 1) > 1 else "")
        for event in events
        if _when(event) >= since.replace(microsecond=0)
    )
    return blotted("\n".join(lines)) or "none"


def pods_text(pods: Iterable[Any]) -> str:
    """Each pod with its conditions and its containers' states."""
    return blotted("\n".join(line for pod in pods for line in _pod_lines(pod))) or "none"


def blotted(text: str) -> str:
    """The text with everything masked that looks like a token or a password."""
    return _SECRET.sub("…", text)


_Place: TypeAlias = tuple[str, str, str, bool]
"""Namespace, pod, container, and whether the container's previous run is meant."""


def _pod_lines(pod: Any) -> list[str]:
    status = pod.status
    place = f"{pod.metadata.namespace}/{pod.metadata.name}"
    lines = [f"{place}  {status.phase}  node {pod.spec.node_name or '(none)'}"]
    if pod.metadata.deletion_timestamp:
        lines[0] += f"  being deleted since {pod.metadata.deletion_timestamp:%H:%M:%S}"
    for condition in status.conditions or ():
        if condition.status != "True":
            why = ": ".join(filter(None, (condition.reason, condition.message)))
            lines.append(f"  not {condition.type}  {why}")
    for box in (*(status.init_container_statuses or ()), *(status.container_statuses or ())):
        ready = "ready" if box.ready else "not ready"
        lines.append(
            f"  {box.name}  {ready}  {_state(box.state)}  restarts {box.restart_count}  {box.image}"
        )
        if box.last_state and _state(box.last_state):
            lines.append(f"    before: {_state(box.last_state)}")
    return lines


def _state(state: Any) -> str:
    if state is None:
        return ""
    if state.running:
        return f"running since {state.running.started_at:%H:%M:%S}"
    if state.waiting:
        return ": ".join(filter(None, ("waiting", state.waiting.reason, state.waiting.message)))
    ended = state.terminated
    if not ended:
        return ""
    return f"ended with {ended.exit_code} ({ended.reason}) at {ended.finished_at:%H:%M:%S}"


def _log(core: client.CoreV1Api, since: datetime, place: _Place) -> str:
    namespace, pod, container, previous = place
    try:
        answer: Any = core.read_namespaced_pod_log(
            pod,
            namespace,
            container=container,
            previous=previous,
            timestamps=True,
            since_seconds=max(1, math.ceil((datetime.now(UTC) - since).total_seconds())),
            tail_lines=_LOG_LINES,
            limit_bytes=_LOG_BYTES,
            _preload_content=False,
            _request_timeout=_TIMEOUT,
        )
        return blotted(answer.data.decode(errors="replace"))
    except _ERRORS as error:
        return f"no log: {_told(error)}"


def _all(listing: Any) -> list[Any]:
    items: list[Any] = listing(_request_timeout=_TIMEOUT).items
    return items


def _ours(thing: Any, prefix: str) -> bool:
    return str(thing.metadata.namespace).startswith(prefix)


def _restarted_since(box: Any, since: datetime) -> bool:
    ended = box.last_state.terminated if box.last_state else None
    return bool(ended and ended.finished_at and ended.finished_at >= since.replace(microsecond=0))


def _when(event: Any) -> datetime:
    series = event.series.last_observed_time if event.series else None
    moment: datetime = (
        series or event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    )
    return moment


def _told(error: Exception) -> str:
    if isinstance(error, client.ApiException):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__}: {error}"[:300]
