"""The platform's components, one file each; `load` returns a component by its name.

A component is one kustomize folder `platform/components/NAME/` and one line in each profile that
has it; a file here holds only what is special about it.
"""

from __future__ import annotations

import importlib
import importlib.util

from infraforge.components.base import Component


def load(name: str) -> Component:
    """The component `name` (as in the profile): its own class if it has one, else the plain class.

    A component with nothing special about it needs no file here: its folder of manifests
    is applied and waited for like every other.
    """
    module_name = f"{__name__}.{name.replace('-', '_')}"
    if importlib.util.find_spec(module_name) is None:
        return Component.plain(name)
    module = importlib.import_module(module_name)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Component) and value.name == name:
            return value()
    raise TypeError(f"{module_name} defines no Component named {name!r}")
