"""What every component is: a folder of manifests and, where it needs them, five hooks.

The stack renders `platform/components/NAME/`, applies it and waits; a component only says
what is special about it:

    certify     its certificate                         before the apply
    prepare     secrets, registrations elsewhere        before the apply
    started     once its containers run, ready or not   e.g. initialise and unseal
    configure   once it is ready                        e.g. schema, users, buckets
    reload      when its certificate is a new one       e.g. a signal to its process

Every hook must be safe to run again: `up` on a running stack and a sabotage's undo do so.
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
    """A port of a component's pods where its certificate is shown. postgres: to whoever asks."""

    port: int
    postgres: bool = False


class Trust(enum.Enum):
    """Whether a component verifies others by the platform CA, and when it reads what to trust."""

    NONE = "it verifies nobody"
    RUNNING = "while it runs: for each connection, or when told"
    AT_START = "once, so its pods are replaced"


class Component:
    """One part of the platform.

    name: as in the profile and in `platform/components/`.
    namespace: where its manifests live.
    needs: names of components that must be done (ready and configured) before this one starts.
    listens: where it shows its certificate: its ports with TLS.
    reloads: it takes up a new certificate while it runs; else its pods are replaced.
    trust: how it takes up another CA.
    """

    name: ClassVar[str] = ""
    namespace: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    listens: ClassVar[tuple[Listener, ...]] = ()
    reloads: ClassVar[bool] = False
    trust: ClassVar[Trust] = Trust.NONE

    @classmethod
    def plain(cls, component: str) -> Component:
        """A component without hooks: its folder of manifests says everything."""

        class Plain(cls):  # type: ignore[misc, valid-type]
            name = component

        made: Component = Plain()
        return made

    def given(self, site: Site) -> str:
        """What its hooks hand on besides the files of its folder: where it changes, they run."""
        return ""

    def certify(self, site: Site) -> None:
        """Make its certificate, where it has none that is good for a while."""

    def prepare(self, site: Site) -> None:
        """Make what the manifests refer to: Secrets, registrations."""

    def started(self, site: Site) -> None:
        """Act as soon as all containers run, before anything is ready."""

    def configure(self, site: Site) -> None:
        """Act once the component is ready; others that need it wait for this."""

    def reload(self, site: Site) -> None:
        """Have its processes read their certificate again, where they do not by themselves.

        Without harm when there is nothing new: it is called until the new one is shown.
        """

    def retrust(self, site: Site) -> None:
        """Have whom to trust read anew, by its processes or others that do not by themselves."""
        self.reload(site)

    def trusted(self, site: Site, pod: Any) -> str:
        """What its pod finds in the file of trusted CAs."""
        box = str(pod.spec.containers[0].name)
        return site.execute(self.namespace, pod.metadata.name, box, "cat", CA_FILE)

    def __repr__(self) -> str:
        return f"<component {self.name}>"
