"""Routes that read: health, components, the registry, actions, and this API's description."""

from __future__ import annotations

import flask
from infraforge_shared.problems import Problem

from infraforge_platform_api import openapi, validation, web
from infraforge_platform_api.components import Component

blueprint = flask.Blueprint("reading", __name__)


@blueprint.get("/healthz")
def alive() -> flask.Response:
    """200: the process answers. Says nothing about what it depends on."""
    return web.answer({"status": "alive"})


@blueprint.get("/readyz")
def ready() -> flask.Response:
    """200 once a snapshot of the platform has succeeded."""
    if not web.services().ready():
        raise Problem(503, "the platform's state could not be read yet")
    return web.answer({"status": "ready"})


@blueprint.get("/api/platform/openapi.json")
def description() -> flask.Response:
    """This API as an OpenAPI document."""
    validation.only(flask.request.args)
    return web.answer(openapi.document())


@blueprint.get("/api/platform/components")
def components() -> flask.Response:
    """Every component: health, versions, digests, and the actions allowed on it."""
    validation.only(flask.request.args)
    found = web.services().snapshot.components()
    return web.answer({"items": [document(one) for one in found.values()]})


@blueprint.get("/api/platform/components/<name>")
def component(name: str) -> flask.Response:
    """One component."""
    validation.only(flask.request.args)
    return web.answer(document(find(name)))


@blueprint.get("/pods/<namespace>/<name>")
def pods(namespace: str, name: str) -> flask.Response:
    """The addresses of a component's pods, looked up now; "" for a pod that has none yet."""
    validation.only(flask.request.args)
    found = web.services().snapshot.addresses(namespace, name)
    if found is None:
        raise Problem(404, "the platform has no such namespace")
    return web.answer({"addresses": found})


@blueprint.get("/api/platform/registry")
def registry() -> flask.Response:
    """The images in use, and whether the registry has them."""
    validation.only(flask.request.args)
    return web.answer(web.services().registry.get())


@blueprint.get("/api/platform/actions")
def actions() -> flask.Response:
    """Who did what, newest first."""
    arguments = flask.request.args
    validation.only(arguments, "limit", "before")
    limit = validation.limit(arguments.get("limit"))
    before = validation.before(arguments.get("before"))
    items, following = web.services().actions.page(before, limit)
    return web.answer({"items": items, "next": following})


def find(name: str) -> Component:
    """The component of that name. Raises Problem 404 if there is none."""
    found = web.services().snapshot.components().get(name)
    if found is None:
        raise Problem(404, "there is no such component")
    return found


def document(one: Component) -> dict[str, object]:
    """The component as a JSON document."""
    limits = web.services().limits
    return one.document(limits.most.get(one.name), restart=one.name in limits.restart)
