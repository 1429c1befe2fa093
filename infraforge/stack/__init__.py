"""Platforms from the outside: stand up, find, renew, remove.

platform.py      a running platform, and what is done with all its components
up.py            stand one up on a cluster of our own
known.py         find one that this machine knows
down.py          remove one
certificates.py  renew certificates, replace the CA
authorities.py   the certificate authorities
supply.py        the images and the local registry
"""

from infraforge.stack.authorities import authority, ca_phase, registry_authority
from infraforge.stack.certificates import renew, replace_ca
from infraforge.stack.down import leave, remove_shared, tear_down
from infraforge.stack.known import (
    DEFAULT_NAME,
    attach,
    cluster_of,
    is_up,
    keep,
    profile_of,
    stays,
)
from infraforge.stack.platform import TREE, ComponentStatus, Platform
from infraforge.stack.supply import images_for, start_registry
from infraforge.stack.up import checked, deployable, nothing_left, stand_up

__all__ = [
    "DEFAULT_NAME",
    "TREE",
    "ComponentStatus",
    "Platform",
    "attach",
    "authority",
    "ca_phase",
    "checked",
    "cluster_of",
    "deployable",
    "images_for",
    "is_up",
    "keep",
    "leave",
    "nothing_left",
    "profile_of",
    "registry_authority",
    "remove_shared",
    "renew",
    "replace_ca",
    "stand_up",
    "start_registry",
    "stays",
    "tear_down",
]
