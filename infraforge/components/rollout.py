"""Brings one component from its manifests to ready, or says why it did not get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubernetes import client

from infraforge.cluster import manifests
from infraforge.cluster.apply import Applier, Reference
from infraforge.cluster.watching import Watching
from infraforge.components import readiness, renewal
from infraforge.components.base import Component, Trust
from infraforge.components.rendered import Images, Record, folder_hash, rendered
from infraforge.components.site import SYSTEM, Site
from infraforge.errors import NotReady
from infraforge.wait import Deadline

INVENTORY = "infraforge-stack"
Say = Callable[[str], None]


class Rollout:
    """Rolls out the components of one site. Safe to use from several threads.

    images: which they are and where they come from.
    applier: how manifests get to the cluster.
    """

    def __init__(
        self, site: Site, watching: Watching, images: Images, applier: Applier | None = None
    ) -> None:
        self._site = site
        self._watching = watching
        self._images = images
        self._applier = applier or Applier(site.cluster.api)

    def rendered(self, component: Component) -> list[manifests.Object]:
        """The component's objects as they are applied."""
        site = self._site
        objects = rendered(
            component.name, site.profile, site.tree, self._images, site.cluster.node_cidrs
        )
        return manifests.keep_to(objects, site.cluster.door)

    def roll_out(self, component: Component, known: Record | None, say: Say) -> bool:
        """Bring the component to ready; False where nothing had to be done.

        Raises NotReady with the cluster's reasons, or what a hook raised.
        """
        objects = self.rendered(component)
        more = filter(None, (folder_hash(self._site, component), component.given(self._site)))
        wanted = manifests.digest(objects, *more)
        if known is not None and known.digest == wanted and self._all_ready(objects):
            return self.renew(component, known, say)
        deadline = Deadline(self._site.profile.budgets.component)
        say("preparing")
        component.certify(self._site)
        component.prepare(self._site)
        say("applying")
        if known is not None:  # neither the old nor the new until it is ready
            both = {*known.references, *(Reference.of(item) for item in objects)}
            self._note(component, Record("", tuple(sorted(both)), known.certificate))
        applied = self._applier.apply(self._with_certificate(component, objects))
        if known is not None:
            self._applier.delete([old for old in known.references if old not in applied])
        say("starting")
        self._wait(component, applied, readiness.runs, deadline)
        component.started(self._site)
        say("getting ready")
        self._wait(component, applied, _is_ready, deadline)
        serial = self._serial(component)
        if known is not None and known.certificate != serial:
            self._show(component, applied, serial, deadline, say)
        say("configuring")
        component.configure(self._site)
        self._note(component, Record(wanted, tuple(applied), serial))
        return True

    def renew(self, component: Component, known: Record, say: Say) -> bool:
        """Nothing but its certificate: a new one if it is due, and shown; False where it was.

        Raises what `roll_out` does; TimedOut when its pods go on showing another one.
        """
        if not component.listens:
            return False
        site = self._site
        serial = site.good_certificate(component.name, component.namespace)
        if not serial:
            say("making its certificate")
            component.certify(site)
            serial = self._serial(component)
        if serial == known.certificate:
            return False
        deadline = Deadline(site.profile.budgets.component)
        self._show(component, known.references, serial, deadline, say)
        self._note(component, replace(known, certificate=serial))
        return True

    def _show(
        self,
        component: Component,
        references: Iterable[Reference],
        serial: str,
        deadline: Deadline,
        say: Say,
    ) -> None:
        """Have all its pods show the certificate of this serial number, which is in its Secret."""
        if not component.reloads or renewal.out_of_time(self._site, component):
            say("replacing its pods")
            self._replace_pods(component, references, {renewal.ANNOTATION: serial}, deadline)
        say("taking up its certificate")
        renewal.take_up(self._site, component, deadline)

    def spread_trust(self, component: Component, known: Record, say: Say) -> None:
        """Have all its pods trust what is to be trusted now, and nothing else.

        Raises what `roll_out` does; TimedOut when its pods go on with what was.
        """
        site = self._site
        site.refresh_ca(component.name, component.namespace)
        deadline = Deadline(site.profile.budgets.component)
        if component.trust is Trust.AT_START:
            say("replacing its pods")
            trusted = renewal.digest(site.ca_file.read_text())
            self._replace_pods(component, known.references, {renewal.TRUST: trusted}, deadline)
            renewal.gone(site, component, deadline)
            component.retrust(site)
        elif component.trust is Trust.RUNNING:
            say("taking up what to trust")
            renewal.take_up_trust(site, component, deadline)

    def _replace_pods(
        self,
        component: Component,
        references: Iterable[Reference],
        annotations: Mapping[str, str],
        deadline: Deadline,
    ) -> None:
        patched = {
            reference: self._applier.annotate_pods(reference, annotations)
            for reference in references
            if reference.kind in manifests.WORKLOADS
        }
        self._wait(component, patched, _is_ready, deadline)

    def _serial(self, component: Component) -> str:
        return self._site.certificate_serial(component.name, component.namespace)

    def _with_certificate(
        self, component: Component, objects: Sequence[manifests.Object]
    ) -> Sequence[manifests.Object]:
        """The same, in a way that pods are replaced when their certificate was, if they must be."""
        serial = "" if component.reloads else self._serial(component)
        return manifests.annotate_pods(objects, {renewal.ANNOTATION: serial}) if serial else objects

    def inventory(self) -> dict[str, Record]:
        """What is recorded in the cluster, by component."""
        try:
            found = self._site.core.read_namespaced_config_map(INVENTORY, SYSTEM)
        except client.ApiException as error:
            if error.status == 404:
                return {}
            raise
        return {name: Record.parse(text) for name, text in (found.data or {}).items()}

    def remove(self, component: str, record: Record) -> None:
        """Remove a component that the profile no longer has."""
        self._applier.delete(record.references)
        self._site.core.patch_namespaced_config_map(INVENTORY, SYSTEM, {"data": {component: None}})

    def _note(self, component: Component, record: Record) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": INVENTORY, "namespace": SYSTEM},
        }
        try:
            self._site.core.create_namespaced_config_map(SYSTEM, body)
        except client.ApiException as error:
            if error.status != 409:
                raise
        change = {"data": {component.name: record.dump()}}
        self._site.core.patch_namespaced_config_map(INVENTORY, SYSTEM, change)

    def _all_ready(self, objects: Sequence[manifests.Object]) -> bool:
        apps = self._site.apps
        readers: Mapping[str, Callable[[str, str], Any]] = {
            "Deployment": apps.read_namespaced_deployment,
            "StatefulSet": apps.read_namespaced_stateful_set,
            "DaemonSet": apps.read_namespaced_daemon_set,
        }
        for item in _workloads(objects):
            meta = item["metadata"]
            try:
                found = readers[item["kind"]](meta["name"], meta["namespace"])
            except client.ApiException as error:
                if error.status == 404:
                    return False
                raise
            if not readiness.workload_ready(found):
                return False
        return True

    def _wait(
        self,
        component: Component,
        applied: Mapping[Reference, int],
        fact: Callable[[Any, Sequence[Any]], bool],
        deadline: Deadline,
    ) -> None:
        """Wait until `fact` is true of each workload, as applied or later, and its pods."""
        for reference, generation in applied.items():
            if reference.kind not in manifests.WORKLOADS:
                continue

            def true_now(reference: Reference = reference, generation: int = generation) -> bool:
                place = (reference.namespace, reference.name)
                found = self._watching.workload(reference.kind, *place)
                # what the watch still shows of before the apply says nothing
                if found is None or found.metadata.generation < generation:
                    return False
                name = found.spec.template.metadata.labels["app.kubernetes.io/name"]
                return fact(found, self._watching.pods(reference.namespace, name))

            if not self._watching.until(true_now, deadline):
                raise self._not_ready(component, reference, deadline)

    def _not_ready(self, component: Component, workload: Reference, deadline: Deadline) -> NotReady:
        namespace = workload.namespace
        pods = self._watching.pods(namespace, component.name)
        reason = "; ".join(filter(None, (readiness.pod_trouble(pod) for pod in pods)))
        reason = reason or f"{workload} was not ready in time"
        events = readiness.warnings(self._site.core, namespace, component.name, pods)
        logs = [line for pod in pods for line in readiness.last_lines(self._site.core, pod)]
        return NotReady(component.name, f"{reason} (after {deadline.within:.0f} s)", events, logs)


def _is_ready(found: Any, _pods: Sequence[Any]) -> bool:
    return readiness.workload_ready(found)


def _workloads(objects: Sequence[manifests.Object]) -> list[manifests.Object]:
    return [item for item in objects if item["kind"] in manifests.WORKLOADS]
