"""The base of every component: a folder of manifests and, where needed, five hooks.

The stack renders `platform/components/NAME/`, applies it and waits. A component implements only
the hooks that it needs:

    certify     issue its certificate                   before the apply
    prepare     secrets, registrations elsewhere        before the apply
    started     once its containers run, ready or not   e.g. initialise and unseal
    configure   once it is ready                        e.g. schema, users, buckets
    reload      when its certificate was renewed        e.g. a signal to its process

Every hook is idempotent: `up` on a running stack and a sabotage's undo run them again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from infraforge.components.site import Site


CA_FILE = "/etc/platform-ca/ca.crt"


@dataclass(frozen=True)
class Listener:
    """A port of a component's pods that shows its certificate.

    postgres: whether TLS begins only after PostgreSQL's SSLRequest.
    """

    port: int
    postgres: bool = False


class Trust(enum.Enum):
    """Whether a component verifies peers by the platform CA, and when it reads the trusted CAs."""

    NONE = "it verifies nobody"
    RUNNING = "while it runs: for each connection, or when told"
    AT_START = "once, so its pods are replaced"


class Component:
    """One part of the platform.

    name: as in the profile and in `platform/components/`.
    namespace: where its manifests live.
    needs: names of components that must be ready and configured before this one starts.
    listens: its TLS ports, where it shows its certificate.
    reloads: whether it loads a new certificate while it runs; otherwise its pods are replaced.
    trust: when it loads another CA.
    """

    name: ClassVar[str] = ""
    namespace: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    listens: ClassVar[tuple[Listener, ...]] = ()
    reloads: ClassVar[bool] = False
    trust: ClassVar[Trust] = Trust.NONE

    @classmethod
    def plain(cls, component: str) -> Component:
        """A component without hooks: its folder of manifests is all there is."""

        class Plain(cls):  # type: ignore[misc, valid-type]
            name = component

        made: Component = Plain()
        return made

    def given(self, site: Site) -> str:
        """Inputs of its hooks besides its folder; a change of them makes the hooks run again."""
        return ""

    def certify(self, site: Site) -> None:
        """Issue its certificate, unless it has one that stays valid long enough."""

    def prepare(self, site: Site) -> None:
        """Create what the manifests refer to: Secrets, registrations."""

    def started(self, site: Site) -> None:
        """Act as soon as all containers run, before any of them is ready."""

    def configure(self, site: Site) -> None:
        """Act once the component is ready; components that need it wait for this."""

    def reload(self, site: Site) -> None:
        """Make its processes load their certificate again, where they do not do so by themselves.

        Harmless when nothing changed: it is called until the new certificate is shown.
        """

    def retrust(self, site: Site) -> None:
        """Make processes that do not do so by themselves load the trusted CAs again."""
        self.reload(site)

    def leading_pod(self, site: Site) -> str:
        """The name of the pod that does the work, where it is one of several; else ""."""
        return ""

    def trusted(self, site: Site, pod: Any) -> str:
        """The content of the file of trusted CAs inside its pod."""
        box = str(pod.spec.containers[0].name)
        return site.execute(self.namespace, pod.metadata.name, box, "cat", CA_FILE)

    def __repr__(self) -> str:
        return f"<component {self.name}>"
