"""A component goes down and stays down: scaled to 0 replicas, its pods killed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults.kill import ready_pods
from infraforge.wait import wait_until

_KINDS = ("StatefulSet", "Deployment")
_GONE = 404


@dataclass(frozen=True)
class ScaledToNothing:
    """Leave `component` without a pod until the undo; its volumes keep their data.

    Its Service then has no endpoints, so connections are refused at once. A component that accepts
    connections and never answers is another fault: see Pause.
    """

    component: str

    def describe(self) -> str:
        return f"scale {self.component} to nothing"

    def aim(self, site: Site) -> Absence:
        return Absence(Rescale.of(site, self.component))


@dataclass(frozen=True)
class Absence:
    """The scaling of one workload to 0 replicas."""

    lasting: ClassVar[bool] = True
    undo: Rescale

    def strike(self, site: Site) -> None:
        self.undo.scale(site, 0)
        for pod in containers.pods(site, self.undo.component):
            try:
                site.core.delete_namespaced_pod(
                    pod.metadata.name,
                    pod.metadata.namespace,
                    body=client.V1DeleteOptions(grace_period_seconds=1),
                )
            except client.ApiException as error:
                if error.status != _GONE:
                    raise ClusterError(
                        f"{pod.metadata.name} cannot be deleted: {error.reason}"
                    ) from error

    def took_effect(self, site: Site) -> str:
        left = containers.pods(site, self.undo.component, dying=True)
        return "" if left else f"{self.undo.place} has no pod"


@dataclass(frozen=True)
class Rescale:
    """Restore the former replicas and wait for as many ready pods; nothing to do where they are.

    kind: of the workload; within: seconds.
    """

    kind: ClassVar[str] = "rescale"
    component: str
    workload: str
    namespace: str
    replicas: int
    within: float

    @classmethod
    def of(cls, site: Site, component: str) -> Rescale:
        """For the component in its present state, within the profile's budget for a component."""
        ready = ready_pods(site, component)
        if ready == 0:
            raise ClusterError(
                f"{component} has no ready pod before the fault, so the fault would prove nothing; "
                f"see: infraforge status"
            )
        namespace = str(containers.pods(site, component)[0].metadata.namespace)
        for kind in _KINDS:
            try:
                workload: Any = _reader(site, kind)(component, namespace)
            except client.ApiException as error:
                if error.status == _GONE:
                    continue
                raise ClusterError(f"{kind} {component} cannot be read: {error.reason}") from error
            within = site.profile.budgets.component
            return cls(component, kind, namespace, int(workload.spec.replicas), within)
        raise ClusterError(f"{component} is not a {' or '.join(_KINDS)}, so it has no replicas")

    @property
    def place(self) -> str:
        return f"{self.workload} {self.namespace}/{self.component}"

    @property
    def parameters(self) -> Mapping[str, str]:
        return {
            "component": self.component,
            "workload": self.workload,
            "namespace": self.namespace,
            "replicas": str(self.replicas),
            "within": str(self.within),
        }

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Rescale:
        return cls(
            parameters["component"],
            parameters["workload"],
            parameters["namespace"],
            int(parameters["replicas"]),
            float(parameters["within"]),
        )

    def perform(self, site: Site) -> None:
        self.scale(site, self.replicas)
        wait_until(
            lambda: ready_pods(site, self.component) >= self.replicas,
            self.within,
            what=f"{self.replicas} pods of {self.component} are ready",
            ignoring=(ClusterError,),
        )

    def scale(self, site: Site, replicas: int) -> None:
        """Set the workload's replicas."""
        change = {"spec": {"replicas": replicas}}
        try:
            _scaler(site, self.workload)(self.component, self.namespace, change)
        except client.ApiException as error:
            raise ClusterError(f"{self.place} cannot be scaled: {error.reason}") from error


def _reader(site: Site, kind: str) -> Callable[[str, str], Any]:
    readers: dict[str, Callable[[str, str], Any]] = {
        "StatefulSet": site.apps.read_namespaced_stateful_set,
        "Deployment": site.apps.read_namespaced_deployment,
    }
    return readers[kind]


def _scaler(site: Site, kind: str) -> Callable[[str, str, Any], Any]:
    scalers: dict[str, Callable[[str, str, Any], Any]] = {
        "StatefulSet": site.apps.patch_namespaced_stateful_set_scale,
        "Deployment": site.apps.patch_namespaced_deployment_scale,
    }
    return scalers[kind]
