"""Server-side apply and pruning of parsed objects (Kubernetes API reference, Server-Side Apply)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client, dynamic

from infraforge.cluster.manifests import Object, containers
from infraforge.errors import ClusterError

FIELD_MANAGER = "infraforge"


@dataclass(frozen=True, order=True)
class Reference:
    """The identity of one object: enough to find and delete it."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, item: Object) -> Reference:
        meta = item["metadata"]
        return cls(item["apiVersion"], item["kind"], meta.get("namespace", ""), meta["name"])

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


class Applier:
    """Applies objects to one cluster. Safe to use from several threads."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._dynamic: dynamic.DynamicClient | None = None

    def apply(self, objects: Iterable[Object]) -> dict[Reference, int]:
        """Apply each object in order; object → its generation (0 where the kind has none).

        Raises ClusterError naming the object and the API server's own message.
        """
        applied = {}
        for item in objects:
            reference = Reference.of(item)
            try:
                made = self._resource(reference).server_side_apply(
                    body=item,
                    name=reference.name,
                    namespace=reference.namespace or None,
                    field_manager=FIELD_MANAGER,
                    force_conflicts=True,
                )
            except dynamic.exceptions.DynamicApiError as error:
                raise ClusterError(f"{reference} cannot be applied: {error.summary()}") from error
            applied[reference] = int(made.metadata.generation or 0)
        return applied

    def delete(self, references: Sequence[Reference]) -> None:
        """Delete the objects, latest first; one that is gone already is no error."""
        for reference in reversed(references):
            try:
                self._resource(reference).delete(
                    name=reference.name,
                    namespace=reference.namespace or None,
                    body={"propagationPolicy": "Background"},
                )
            except dynamic.exceptions.NotFoundError:
                continue
            except dynamic.exceptions.DynamicApiError as error:
                raise ClusterError(f"{reference} cannot be deleted: {error.summary()}") from error

    def annotate_pods(self, workload: Reference, annotations: Mapping[str, str]) -> int:
        """Set annotations on a workload's pod template, which replaces its pods; new generation."""
        change = {"spec": {"template": {"metadata": {"annotations": dict(annotations)}}}}
        try:
            made = self._resource(workload).patch(
                body=change,
                name=workload.name,
                namespace=workload.namespace,
                content_type="application/merge-patch+json",
            )
        except dynamic.exceptions.DynamicApiError as error:
            raise ClusterError(f"{workload} cannot be changed: {error.summary()}") from error
        return int(made.metadata.generation or 0)

    def _resource(self, reference: Reference) -> Any:
        with self._lock:  # discovery fills a cache of its own: one thread at a time
            if self._dynamic is None:
                self._dynamic = dynamic.DynamicClient(self._api)
            return self._dynamic.resources.get(
                api_version=reference.api_version, kind=reference.kind
            )


class ByHand(Applier):
    """Changes nothing: the user applies the manifests by hand, and this checks the result."""

    def apply(self, objects: Iterable[Object]) -> dict[Reference, int]:
        """Generations like `Applier.apply`, once every object exists with the images it should run.

        Raises ClusterError naming an object that is missing or runs other images.
        """
        generations = {}
        for item in objects:
            reference = Reference.of(item)
            try:
                there = self._resource(reference).get(
                    name=reference.name, namespace=reference.namespace or None
                )
            except dynamic.exceptions.NotFoundError:
                raise ClusterError(
                    f"{reference} does not exist; apply the output of `infraforge render` first"
                ) from None
            wanted = [box["image"] for box in containers(item)]
            running = [box["image"] for box in containers(there.to_dict())]
            if wanted != running:
                raise ClusterError(
                    f"{reference} runs images {running}, not {wanted}; apply the manifests again"
                )
            generations[reference] = int(there.metadata.generation or 0)
        return generations

    def delete(self, references: Sequence[Reference]) -> None:
        """Do nothing: a user who applies by hand also removes by hand."""
