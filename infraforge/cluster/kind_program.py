"""Run the program `kind`: without this machine's own settings, and never outliving this process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from infraforge.cluster import direct


def environment() -> dict[str, str]:
    """For KIND: without proxies, and without its own variables.

    Its nodes pull from our own registry alone; and with KIND_… it would use another network or
    runtime than ours.
    """
    environment = direct.without_proxies(dict(os.environ))
    return {k: v for k, v in environment.items() if not k.startswith("KIND_")}


def run_alone(argv: Sequence[str], folder: Path, out: IO[str]) -> int:
    """Run KIND in a process group of its own, which ends with this process, however it ends.

    KIND may otherwise go on making nodes after its `infraforge up` was killed.
    """
    with subprocess.Popen(
        argv,
        cwd=folder,
        stdin=subprocess.PIPE,  # its end is how the child learns that this process is gone
        stdout=out,
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
