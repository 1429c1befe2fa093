"""Creates a KIND cluster by pytest-kind, in a process of its own.

pytest-kind prints on the process's own stdout and keeps files in the working directory; here both
are the caller's to choose, without touching its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from infraforge import entry
from infraforge.cluster import state


def main() -> int:
    """Parse the arguments and create the cluster; the exit code, kind's words being printed."""
    return entry.guard("kind_create", _create, lambda: state.state_dir() / "traces")


def _create() -> int:
    from pytest_kind import KindCluster  # noqa: PLC0415 - a broken installation is told as well

    parser = entry.Parser(description=__doc__)
    parser.add_argument("name")
    for option in ("--kubeconfig", "--kind", "--kubectl", "--config"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--image", required=True)
    chosen = parser.parse_args()
    cluster = KindCluster(
        chosen.name,
        chosen.kubeconfig,
        image=chosen.image,
        kind_path=chosen.kind,
        kubectl_path=chosen.kubectl,
    )
    cluster.create(chosen.config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
