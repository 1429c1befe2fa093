"""The platform API's paths: checked against the table of rules like all others, then passed on."""

from __future__ import annotations

import re
import urllib.parse

import flask
from infraforge_shared.problems import Problem

from infraforge_backend import web
from infraforge_backend.access import RULES
from infraforge_backend.platform_api import Question

blueprint = flask.Blueprint("platform", __name__)

_PREFIX = "/api/platform/"
_NAME = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)


def pass_on(name: str = "") -> flask.Response:
    """The platform API's answer to this request."""
    if name and not _NAME.fullmatch(name):
        raise Problem(404, "there is no such component")
    request = flask.request
    query = request.query_string.decode("latin-1")
    target = urllib.parse.quote(request.path) + (f"?{_quoted(query)}" if query else "")
    if request.method in ("GET", "HEAD"):
        question = Question("GET", target)
    else:
        kind = request.headers.get("Content-Type", "")
        question = Question(request.method, target, kind, request.get_data(cache=False))
    answer = web.services().platform.ask(web.who(), flask.g.request_id, question)
    return flask.Response(answer.body, answer.status, dict(answer.headers))


def _quoted(query: str) -> str:
    """The query string with all that has no place in a request line escaped, and no more."""
    return urllib.parse.quote(query, safe="%&=+;:/?@!$'()*,~[]", encoding="latin-1")


for _method, _route in RULES:
    if _route.startswith(_PREFIX):
        _endpoint = f"{_method} {_route}".replace(".", "_")
        blueprint.add_url_rule(_route, _endpoint, pass_on, methods=[_method])
