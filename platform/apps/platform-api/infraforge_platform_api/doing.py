"""Routes that act: scale and restart. Each action is recorded first, with the user."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import flask
from infraforge_shared.problems import OutcomeUnknown, Problem, Unavailable

from infraforge_platform_api import reading, validation, web
from infraforge_platform_api.components import Component
from infraforge_platform_api.kube import Refused

blueprint = flask.Blueprint("doing", __name__)

_RESTARTED = "kubectl.kubernetes.io/restartedAt"


@blueprint.put("/api/platform/components/<name>/scale")
def scale(name: str) -> flask.Response:
    """Set a component's number of replicas. For stateless components only, within bounds."""
    validation.only(flask.request.args)
    component = reading.find(name)
    most = web.services().limits.most.get(name)
    if most is None:
        raise Problem(409, f"{name} cannot be scaled: it keeps state, or has one pod by design")
    wanted = validation.replicas(web.body(), most)
    detail = f"replicas {component.replicas.wanted} to {wanted}"
    return _do("scale", component, detail, "/scale", {"spec": {"replicas": wanted}})


@blueprint.post("/api/platform/components/<name>/restart")
def restart(name: str) -> flask.Response:
    """Replace a component's pods, the way its rollout does."""
    validation.only(flask.request.args)
    if flask.request.get_data(cache=False):
        raise validation.Invalid("a restart takes no body")
    component = reading.find(name)
    if name not in web.services().limits.restart:
        raise Problem(409, f"{name} cannot be restarted from here")
    if component.changing:
        raise Problem(409, f"{name} is already changing: wait until its rollout ends")
    now = datetime.datetime.now(datetime.UTC).isoformat()
    template = {"metadata": {"annotations": {_RESTARTED: now}}}
    return _do("restart", component, "all pods", "", {"spec": {"template": template}})


def _do(
    action: str, component: Component, detail: str, place: str, change: Mapping[str, Any]
) -> flask.Response:
    """Record the action, carry it out, record its outcome."""
    services = web.services()
    begun = services.actions.begin(web.who(), action, component.name, detail, flask.g.request_id)
    try:
        services.kube.merge(component.path + place, change)
    except Refused as error:
        services.actions.end(begun, "failed")
        raise Problem(409, f"Kubernetes refuses the change: {error.message}") from error
    except OutcomeUnknown:
        services.actions.end(begun, "unknown")
        raise
    except Unavailable:
        services.actions.end(begun, "failed")
        raise
    finally:
        services.snapshot.forget()
    done = services.actions.end(begun, "done")
    told = {"id": done.id, "action": action, "component": component.name, "detail": detail}
    return web.answer(told, 202)
