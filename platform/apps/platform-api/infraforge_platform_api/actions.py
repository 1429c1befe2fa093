"""Who did what: an action is recorded before it is carried out, its outcome afterwards.

A ConfigMap holds one key for each action, written by merge patches, so that concurrent writers do
not conflict. It keeps the latest actions; the log has a line for every one.
"""

from __future__ import annotations

import datetime
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_platform_api.access import Identity
from infraforge_platform_api.kube import Kube, Refused

log = logging.getLogger("audit")

_TEXT = 200


@dataclass(frozen=True)
class Action:
    """One action of a user on a component.

    id: sorts in the order of the requests; at: ISO 8601; detail: what exactly, in words;
    outcome: asked (no outcome recorded yet), done, failed or unknown.
    """

    id: str
    at: str
    actor: str
    role: str
    action: str
    component: str
    detail: str
    outcome: str
    request_id: str


class Actions:
    """The book of actions. keep: how many it keeps."""

    def __init__(self, kube: Kube, namespace: str, name: str, keep: int) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        self._keep = keep

    def begin(
        self, who: Identity, action: str, component: str, detail: str, request_id: str
    ) -> Action:
        """Record the request. Raises Unavailable if it cannot; then do not carry it out."""
        now = time.time_ns()
        made = Action(
            id=f"{now:019d}-{secrets.token_hex(3)}",
            at=datetime.datetime.fromtimestamp(now / 1e9, datetime.UTC).isoformat(),
            actor=who.user[:_TEXT],
            role=who.role_name,
            action=action,
            component=component,
            detail=detail[:_TEXT],
            outcome="asked",
            request_id=request_id,
        )
        try:
            old = sorted(self._all())[: -(self._keep - 1)]
            self._write({**dict.fromkeys(old), made.id: _text(made)})
        except (Unavailable, OutcomeUnknown, Refused) as error:
            log.warning("cannot record an action", extra={"error": str(error)})
            raise Unavailable(
                "the action cannot be recorded now, so it was not carried out"
            ) from error
        self._tell(made)
        return made

    def end(self, begun: Action, outcome: str) -> Action:
        """Record the outcome; if that fails, only the log has it."""
        made = replace(begun, outcome=outcome)
        self._tell(made)
        try:
            self._write({made.id: _text(made)})
        except (Unavailable, OutcomeUnknown, Refused) as error:
            log.warning("only the log has an outcome", extra={"error": str(error)})
        return made

    def page(self, before: str | None, limit: int) -> tuple[list[dict[str, str]], str | None]:
        """Actions older than `before`, newest first; and the `before` of the next page, if any."""
        book = self._all()
        ids = [key for key in sorted(book, reverse=True) if before is None or key < before]
        items = [json.loads(book[key]) for key in ids[:limit]]
        return items, ids[limit - 1] if len(ids) > limit else None

    def _all(self) -> Mapping[str, str]:
        return dict(self._kube.read(self._path).get("data") or {})

    def _write(self, data: Mapping[str, str | None]) -> None:
        self._kube.merge(self._path, {"data": dict(data)})

    @staticmethod
    def _tell(made: Action) -> None:
        values = {k: v for k, v in asdict(made).items() if k not in ("at", "request_id")}
        values["action_id"] = values.pop("id")
        log.info("%s %s %s", made.action, made.component, made.outcome, extra=values)


def _text(action: Action) -> str:
    return json.dumps(asdict(action), ensure_ascii=False, separators=(",", ":"))
