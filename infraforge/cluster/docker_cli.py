"""Docker's command line: run one command, and tell its failure in words."""

from __future__ import annotations

import subprocess

from infraforge.errors import ClusterError, UsageError, machine_fault


def docker(*argv: str, check: bool = True) -> str:
    """Run docker and return what it printed; ClusterError with its words when it fails."""
    try:
        # in a session of its own: a terminal's Ctrl-C must not end what tidies up
        done = subprocess.run(
            ["docker", *argv],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError("docker is missing; ./bootstrap installs it") from error
    if check and done.returncode != 0:
        if fault := machine_fault(done.stderr):
            raise UsageError(f"docker {argv[0]} failed: {fault}: {done.stderr.strip()}")
        raise ClusterError(f"docker {argv[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip() if done.returncode == 0 else ""
