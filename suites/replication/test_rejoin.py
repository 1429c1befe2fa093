"""A primary that nobody hears of: another one leads in time, and it comes back to that one."""

from __future__ import annotations

import json

import pytest

from infraforge import faults
from infraforge.components import members
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError, Inconclusive
from infraforge.verdict import control
from infraforge.wait import Deadline, seconds, wait_until

pytestmark = [pytest.mark.exclusive, pytest.mark.control("SOC2-A1.2", "NIST-CP-10")]
SILENT = seconds(24)  # ttl + 4 s
LOOK = seconds(6)  # who takes writes is asked of one member after the other
_ALONE = "SELECT pg_logical_emit_message(true, 'infraforge', 'of the former primary alone')"
_WRITTEN = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"


def test_a_primary_that_was_cut_off_is_replaced_and_rejoins(platform, nemesis, evidence):
    """Another leads within ttl + 4 s; what the former one alone has goes, and it streams again."""
    site, number = platform.site, len(members.of(platform.profile))
    old = Postgres().primary(site)
    with Postgres().connect_member(site, old) as alone:  # by the pod's loopback, which is not cut
        alone.execute("SET synchronous_commit = local")
        replaced = Deadline(SILENT + LOOK)
        nemesis.inject(faults.CutOff(old, faults.From.EVERYBODY))
        alone.execute(_ALONE)
        [(written,)] = alone.execute(_WRITTEN).fetchall()
    new = wait_until(
        lambda: Postgres().primary(site).removeprefix(old),
        replaced,
        what=f"another than {old} takes writes",
        ignoring=(ClusterError,),
        broken=True,
    )
    trouble = ""
    try:
        nemesis.heal()
    except Inconclusive as error:  # it waits for what is judged here
        trouble = str(error)
    wait_until(
        lambda: Postgres().look(site).whole(number),
        platform.profile.budgets.rejoin,
        what=f"all {number} members stream, {old} as well",
        every=0.5,
        ignoring=(ClusterError,),
        broken=True,
    )
    began = json.loads(Postgres().patroni(site, new, "GET", "history"))[-1][1]
    evidence.attach(primary=new, former=old, its_own_bytes=str(written - began))
    control("ended before it was undone" not in trouble, trouble)
    control(written > began, f"{old} had written nothing that {new} has not")
