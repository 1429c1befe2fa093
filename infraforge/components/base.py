"""What every component is: a folder of manifests and, where it needs them, four hooks.

The stack renders `platform/components/NAME/`, applies it and waits; a component only says
what is special about it:

    prepare     secrets, certificates, registrations elsewhere   before the apply
    started     once its containers run, ready or not            e.g. initialise and unseal
    configure   once it is ready                                 e.g. schema, users, buckets

Every hook must be safe to run again: `up` on a running stack and a sabotage's undo do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from infraforge.components.site import Site


class Component:
    """One part of the platform.

    name: as in the profile and in `platform/components/`.
    namespace: where its manifests live.
    needs: names of components that must be done (ready and configured) before this one starts.
    """

    name: ClassVar[str] = ""
    namespace: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def plain(cls, component: str) -> Component:
        """A component without hooks: its folder of manifests says everything."""

        class Plain(cls):  # type: ignore[misc, valid-type]
            name = component

        made: Component = Plain()
        return made

    def prepare(self, site: Site) -> None:
        """Make what the manifests refer to: Secrets, certificates, registrations."""

    def started(self, site: Site) -> None:
        """Act as soon as all containers run, before anything is ready."""

    def configure(self, site: Site) -> None:
        """Act once the component is ready; others that need it wait for this."""

    def __repr__(self) -> str:
        return f"<component {self.name}>"
