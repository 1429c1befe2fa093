"""Run a program in a container of the cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

from infraforge.cluster.base import Cluster
from infraforge.errors import ClusterError

_SECONDS = 30


def execute(
    kubectl: Path, cluster: Cluster, namespace: str, pod: str, container: str, *argv: str
) -> str:
    """The program's standard output. Raises ClusterError when it fails or cannot be run."""
    command = _kubectl(kubectl, cluster, namespace)
    command += ["exec", pod, f"--container={container}", "--", *argv]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{argv[0]} in {pod} did not end within {_SECONDS} s") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(argv)} in {pod} failed: {done.stderr.strip()}")
    return done.stdout


def converse(
    kubectl: Path, cluster: Cluster, namespace: str, pod: str, container: str, *argv: str
) -> subprocess.Popen[bytes]:
    """A program that runs in a container, with pipes to its input, output and errors.

    It ends when its input is closed. The caller waits for it.
    """
    command = _kubectl(kubectl, cluster, namespace)
    command += ["exec", "--stdin", pod, f"--container={container}", "--", *argv]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


def _kubectl(kubectl: Path, cluster: Cluster, namespace: str) -> list[str]:
    return [str(kubectl), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}"]
