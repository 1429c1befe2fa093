"""The platform's components, one file each; `load` finds a component by its name.

A component is one file here (only for what is special about it), one kustomize folder
`platform/components/NAME/`, and one line in the profiles that have it.
"""

from __future__ import annotations

import importlib
import importlib.util

from infraforge.components.base import Component


def load(name: str) -> Component:
    """The component `name` (as in the profile): its own class, or the plain one.

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
