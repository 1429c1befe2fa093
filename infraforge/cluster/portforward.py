"""A local port forwarded to a Service or pod for the duration of a `with` block."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from infraforge.cluster.base import Cluster
from infraforge.errors import ClusterError

_SAID = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def forward(
    kubectl: Path, cluster: Cluster, namespace: str, target: str, port: int
) -> Iterator[int]:
    """A port on 127.0.0.1 that is forwarded to `target` (`svc/NAME` or `pod/NAME`).

    kubectl picks a free port itself, so two forwards never compete for one.
    Raises ClusterError with kubectl's own message when the target cannot be reached.
    """
    argv = [str(kubectl), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}"]
    argv += ["port-forward", "--address=127.0.0.1", target, f":{port}"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _port(process, target)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _drain(process: subprocess.Popen[str]) -> None:
    for _line in process.stdout or ():
        pass


def _port(process: subprocess.Popen[str], target: str) -> int:
    said = []
    for line in process.stdout or ():
        match = _SAID.search(line)
        if match:
            # kubectl prints a line for each connection: unread, it would block on a full pipe
            threading.Thread(target=_drain, args=(process,), daemon=True).start()
            return int(match[1])
        said.append(line.strip())
    raise ClusterError(f"cannot forward to {target}: {' '.join(said) or 'kubectl ended silently'}")
