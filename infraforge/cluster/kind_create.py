"""Creates a KIND cluster by pytest-kind, in a process of its own.

pytest-kind prints on the process's own stdout and keeps files in the working directory; here both
are the caller's to choose, without touching its own.

The caller keeps the other end of this process's standard input. Once that is closed the caller is
gone, and this whole process group ends: nobody is left to whom the cluster would be of use.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path

from pytest_kind import KindCluster


def main() -> None:
    """Parse the arguments and create the cluster; kind's own exit code on failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    for option in ("--kubeconfig", "--kind", "--kubectl", "--config"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--image", required=True)
    chosen = parser.parse_args()
    threading.Thread(target=_end_with_caller, daemon=True).start()
    cluster = KindCluster(
        chosen.name,
        chosen.kubeconfig,
        image=chosen.image,
        kind_path=chosen.kind,
        kubectl_path=chosen.kubectl,
    )
    cluster.create(chosen.config)


def _end_with_caller() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
