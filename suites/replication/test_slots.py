"""What a member that stays away holds back, on the volume of the primary."""

from __future__ import annotations

from typing import LiteralString

import pytest
from kubernetes.utils import quantity

from infraforge import faults
from infraforge.components.postgres import NAMESPACE, Postgres
from infraforge.faults import member
from infraforge.verdict import control

MIB = 1024 * 1024
SEGMENT = 16 * MIB  # WAL is kept, and let go of, by whole files
SHARE = 256 * MIB  # max_slot_wal_keep_size
WRITTEN = 2 * 256 * MIB  # twice max_wal_size
FULL = 0.8  # of its volume
_SWITCH: LiteralString = """
SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'infraforge', 'the rest of a segment')
"""
_AT: LiteralString = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
_USED: LiteralString = """
SELECT (SELECT sum(size) FROM pg_ls_waldir())
     + (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint
"""
_SLOT: LiteralString = """
SELECT wal_status, coalesce(pg_current_wal_flush_lsn() - restart_lsn, 0)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_a_member_that_stays_away_holds_back_only_its_share_of_wal(platform, nemesis, evidence):
    """After twice max_wal_size its slot has let go, and the primary's volume is below 80 %."""
    site = platform.site
    found = Postgres().look(site)
    away = [*found.asynchronous, *found.synchronous][0]
    nemesis.inject(faults.HoldMemberDown(away, for_long=True))
    with Postgres().connect_member(site, found.primary) as connection:

        def ask(query: LiteralString, *values: object) -> tuple:
            return connection.execute(query, values).fetchone()

        [began], uses = ask(_AT), [int(ask(_USED)[0])]
        ended = began
        while ended - began < WRITTEN:
            ask(_SWITCH)
            [ended] = ask(_AT)
            uses.append(int(ask(_USED)[0]))
        connection.execute("CHECKPOINT")  # which is when a slot is made to let go
        slot = ask(_SLOT, member.slot_of(away)) or ("dropped", 0)
    volume = of_volume(site, found.primary)
    nemesis.heal()
    evidence.attach(
        written_mib=str((ended - began) // MIB),
        slot=slot[0],
        held_back_mib=str(slot[1] // MIB),
        most_used_mib=str(max(uses) // MIB),
        volume_mib=str(volume // MIB),
    )
    control(ended - began > SHARE + SEGMENT, "too little was written for any slot to let go")
    assert slot[1] <= SHARE + SEGMENT
    assert max(uses) < FULL * volume


def of_volume(site, pod: str) -> int:
    """How many bytes the member's volume is promised to have."""
    claim = site.core.read_namespaced_persistent_volume_claim(f"data-{pod}", NAMESPACE)
    return int(quantity.parse_quantity(claim.spec.resources.requests["storage"]))
