"""A process that dies during a fault leaves the fault's undo on disk."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from infraforge.faults import nemesis as nemeses
from infraforge.faults.journal import Journal
from infraforge.verdict import control
from infraforge.workloads import reading

# Injects a fault as the nemesis does, and kills itself at the moment named by its second argument.
DYING = """
import os, signal, sys
from infraforge import faults, stack
from infraforge.faults.nemesis import Nemesis

name, moment = sys.argv[1:]
site = stack.attach(name).site

class Dying(faults.ScaledToNothing):
    def aim(self, site):
        aimed = super().aim(site)
        die = lambda: os.kill(os.getpid(), signal.SIGKILL)
        class Struck(type(aimed)):
            def strike(self, site):
                if moment == "before the strike":
                    die()
                super().strike(site)
                die()
        return Struck(aimed.undo)

Nemesis(site).inject(Dying("redis-cache"))
"""


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "NIST-CP-10")
@pytest.mark.parametrize("moment", ["before the strike", "after the strike"])
def test_heal_restores_what_a_killed_run_left_behind(
    platform, developer, project, evidence, moment
):
    """After kill -9 during a fault, the undo is on disk and `heal` restores the platform."""
    site = platform.site
    name = site.cluster.name
    reading.until_hit(developer, project.id)
    dying = subprocess.run(
        [sys.executable, "-c", DYING, name, moment],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    killed = dying.returncode == -signal.SIGKILL
    control(killed, f"the process was not killed: {dying.returncode} {dying.stderr[-500:]}")
    left = Journal.of(name).read().entries
    assert [entry.fault for entry in left] == ["scale redis-cache to nothing"]
    undone = nemeses.heal(site)
    evidence.attach(f"left in the journal: {left}\nundone: {undone}")
    assert undone == ("scale redis-cache to nothing",)
    assert Journal.of(name).read().entries == ()
    reading.until_hit(developer, project.id)
