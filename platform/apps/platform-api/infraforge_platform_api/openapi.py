"""The OpenAPI 3.1 document of this API; tests check answers against it. Pure."""

from __future__ import annotations

from typing import Any

from infraforge_platform_api import validation
from infraforge_platform_api.access import RULES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
_DIGEST: Schema = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_PINNED: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
_ACTION_ID: Schema = {"type": "string", "pattern": "^[0-9]{19}-[0-9a-f]{6}$"}


def document() -> Schema:
    """The document. Every answer that it does not name is a problem document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "InfraForge platform API",
            "version": "1.0.0",
            "description": "Health, versions and digests of the platform's components; scaling "
            "and restarting them; the registry's state; who did what. Answers to GET have an "
            "ETag, and conditions (If-Match, If-None-Match and the like) are honoured. Changed "
            "resources have no version, so a change with a condition is refused (412).",
        },
        "servers": [{"url": "/"}],
        "security": [{"session": []}],
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-infraforge_session"}
            },
        },
    }


def _object(**properties: Schema) -> Schema:
    """An object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _nullable(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


_SCHEMAS: Schema = {
    "Problem": {
        "type": "object",
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "request_id": _TEXT,
        },
        "required": ["type", "title", "status", "request_id"],
    },
    "Component": _object(
        name=_NAME,
        namespace=_NAME,
        kind={"enum": ["Deployment", "StatefulSet"]},
        status={"enum": ["healthy", "updating", "degraded", "down", "stopped"]},
        replicas=_object(wanted=_COUNT, ready=_COUNT, updated=_COUNT),
        restarts=_COUNT,
        images={**_list(_ref("ContainerImage")), "minItems": 1},
        trouble=_list(_TEXT),
        scale=_nullable(
            _object(least={"type": "integer", "minimum": 1}, most={"type": "integer", "minimum": 1})
        ),
        restart={"type": "boolean"},
    ),
    "ContainerImage": _object(
        container=_NAME, reference=_TEXT, version=_TEXT, pinned=_PINNED, running=_list(_DIGEST)
    ),
    "Components": _object(items=_list(_ref("Component"))),
    "Registry": _object(
        registry=_object(address=_TEXT, reachable={"type": "boolean"}, detail=_TEXT),
        images=_list(_ref("ImageInUse")),
    ),
    "ImageInUse": _object(
        reference=_TEXT,
        components={**_list(_NAME), "minItems": 1},
        pinned=_PINNED,
        running=_list(_DIGEST),
        held={"type": ["boolean", "null"]},
        tagged=_nullable(_DIGEST),
        state={"enum": ["current", "moved", "missing", "differs", "unpinned", "unknown"]},
    ),
    "Action": _object(
        id=_ACTION_ID,
        at={"type": "string", "format": "date-time"},
        actor=_TEXT,
        role=_TEXT,
        action={"enum": ["scale", "restart"]},
        component=_NAME,
        detail=_TEXT,
        outcome={"enum": ["asked", "done", "failed", "unknown"]},
        request_id=_TEXT,
    ),
    "Actions": _object(items=_list(_ref("Action")), next=_nullable(_ACTION_ID)),
    "Scale": _object(replicas={"type": "integer", "minimum": 1}),
    "Begun": _object(
        id=_ACTION_ID, action={"enum": ["scale", "restart"]}, component=_NAME, detail=_TEXT
    ),
}

_IN_PATH: Schema = {"name": "name", "in": "path", "required": True, "schema": _NAME}
_PAGE = [
    {
        "name": "limit",
        "in": "query",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": validation.PAGE_LIMIT,
            "default": validation.PAGE,
        },
    },
    {"name": "before", "in": "query", "schema": _ACTION_ID},
]
_PROBLEMS = {
    400: "the request is not valid HTTP or JSON, or has a malformed condition",
    401: "there is no session",
    403: "the role does not allow this",
    404: "there is no such component",
    405: "the method is not allowed here",
    409: "this component does not allow it, or not now",
    412: "a condition of the request (If-Match and the like) does not hold",
    413: "the request is too large",
    415: "the body is not JSON",
    422: "the input is not acceptable",
    429: "too many requests in a short time",
    503: "this cannot be answered or carried out now",
}


def _answer(words: str, schema: str, kind: str = "application/json") -> Schema:
    return {"description": words, "content": {kind: {"schema": _ref(schema)}}}


def _operation(name: str, words: str, answers: dict[str, Schema], *problems: int) -> Schema:
    told = sorted({400, 401, 403, 412, *problems, 429, 503})
    refusals = {
        str(status): _answer(_PROBLEMS[status], "Problem", "application/problem+json")
        for status in told
    }
    kept: dict[str, Schema] = {}
    if "200" in answers:  # a read: its answer has an ETag, and conditions are honoured
        kept = {"304": {"description": "the client has the current version"}}
    return {"operationId": name, "summary": words, "responses": {**answers, **kept, **refusals}}


def _paths() -> Schema:
    ok = "the current state"
    described: Schema = {
        "description": "this document",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    begun = {"202": _answer("accepted", "Begun")}
    scale_body = {"content": {"application/json": {"schema": _ref("Scale")}}, "required": True}
    operations: dict[tuple[str, str], Schema] = {
        ("GET", "/api/platform/openapi.json"): _operation(
            "readDescription", "This description", {"200": described}, 422
        ),
        ("GET", "/api/platform/components"): _operation(
            "listComponents",
            "Health, version and digest of every component",
            {"200": _answer(ok, "Components")},
            422,
        ),
        ("GET", "/api/platform/components/<name>"): {
            **_operation(
                "readComponent", "One component", {"200": _answer(ok, "Component")}, 404, 422
            ),
            "parameters": [_IN_PATH],
        },
        ("PUT", "/api/platform/components/<name>/scale"): {
            **_operation("scale", "Set the replicas", begun, 400, 404, 409, 413, 415, 422),
            "parameters": [_IN_PATH],
            "requestBody": scale_body,
        },
        ("POST", "/api/platform/components/<name>/restart"): {
            **_operation("restart", "Replace all pods", begun, 404, 409, 413, 422),
            "parameters": [_IN_PATH],
        },
        ("GET", "/api/platform/registry"): _operation(
            "readRegistry",
            "Images in use, and whether the registry has them",
            {"200": _answer(ok, "Registry")},
            422,
        ),
        ("GET", "/api/platform/actions"): {
            **_operation(
                "listActions", "Who did what, newest first", {"200": _answer(ok, "Actions")}, 422
            ),
            "parameters": _PAGE,
        },
    }
    paths: Schema = {}
    for (method, route), operation in operations.items():
        role = RULES[method, route].name.lower()
        told = {**operation, "description": f"For the role {role} and those above it."}
        paths.setdefault(route.replace("<name>", "{name}"), {})[method.lower()] = told
    return paths
