"""`infraforge render`: a profile's manifests, for users who apply them by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import yaml

from infraforge import arguments, brought, components, stack
from infraforge.cluster.existing import Existing
from infraforge.cluster.manifests import Object
from infraforge.components import waves
from infraforge.components.rendered import rendered
from infraforge.errors import UsageError

_EPILOG = """\
by hand, from nothing to the suites:
  infraforge render --profile P --kubeconfig F --context C | kubectl apply --server-side -f -
  infraforge up --cluster existing --by-hand --profile P --kubeconfig F --context C
  pytest suites --profile P --kubeconfig F --context C

`up --by-hand` applies no manifest: it creates what manifests cannot hold (passwords, certificates)
and does what they cannot express (Vault's first start, the database's schema, users). Until then
pods wait for their Secrets.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--profile", required=True, help="the profile to render")
    parser.add_argument(
        "--to", type=arguments.folder, metavar="DIR", help="write one file per component, in order"
    )
    parser.add_argument(
        "--kubeconfig", type=arguments.readable_file, help="kubeconfig of the target cluster"
    )
    parser.add_argument("--context", help="the context in the kubeconfig")
    parser.add_argument(
        "--registry",
        type=arguments.registry,
        metavar="PREFIX",
        help="the registry from which nodes pull images",
    )


def run(options: argparse.Namespace) -> int:
    """Write the manifests to standard output, or into a folder."""
    if options.to and options.to.is_dir() and any(options.to.iterdir()):
        raise UsageError(f"{options.to} is not empty; name another folder")
    profile = stack.deployable(options.profile, stack.TREE)
    images = brought.images_for(profile, stack.TREE, options.registry or "")
    cidrs: Sequence[str] = ()
    if options.kubeconfig:
        cidrs = Existing(options.kubeconfig, options.context).node_cidrs
    else:
        print(
            "infraforge: without --kubeconfig the policies for the API server name no node "
            "address; some networks need it",
            file=sys.stderr,
        )
    ordered = waves.in_order([components.load(name) for name in profile.components])
    parts = {
        component.name: rendered(component.name, profile, stack.TREE, images, cidrs)
        for component in ordered
    }
    if options.to is None:
        print("---\n".join(_text(objects) for objects in parts.values()), end="")
        return 0
    options.to.mkdir(parents=True, exist_ok=True)
    for number, (name, objects) in enumerate(parts.items()):
        (options.to / f"{number:02d}-{name}.yaml").write_text(_text(objects))
    print(f"{len(parts)} files in {options.to}; kubectl apply --server-side -f {options.to}")
    return 0


def _text(objects: Sequence[Object]) -> str:
    return str(yaml.safe_dump_all(objects, sort_keys=False))
