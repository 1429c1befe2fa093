"""Reads are never stale after an acknowledged write or deletion, and never go backwards."""

from __future__ import annotations

import pytest

from infraforge.checkers import no_stale_read, reads_are_monotonic
from infraforge.verdict import check
from infraforge.workloads import register


@pytest.mark.control("SOC2-PI1.4", "NIST-SI-7")
def test_no_read_is_stale_during_concurrent_writes(developer, project, evidence):
    """No read through the cache returns a value that an acknowledged update has replaced."""
    with register.Load(developer, [project.id], readers=5, writers=2) as load:
        load.until(reads=250, writes=40)
    verdict = check(load.history, no_stale_read)
    evidence.attach(load.history, verdict, ways=load.ways)
    assert verdict.holds, verdict.explain()
    assert load.ways["hit"], f"the cache served no read: {dict(load.ways)}"


@pytest.mark.control("SOC2-PI1.4", "NIST-SI-7")
def test_no_client_reads_backwards_during_concurrent_writes(developer, project, evidence):
    """A client that has read a version of a project never reads an older one (monotonic reads)."""
    with register.Load(developer, [project.id], readers=4, writers=2) as load:
        load.until(reads=250, writes=60)
    verdict = check(load.history, reads_are_monotonic)
    evidence.attach(load.history, verdict, ways=load.ways)
    assert verdict.holds, verdict.explain()
    assert load.ways["hit"], f"the cache served no read: {dict(load.ways)}"


@pytest.mark.control("SOC2-PI1.4", "ISO27001-A.8.10")
def test_no_read_finds_a_project_after_its_deletion(developer, project, evidence):
    """No read through the cache returns a project whose deletion is acknowledged."""
    with register.Load(developer, [project.id], readers=5, writers=0) as load:
        load.until(reads=50)
        deletion = register.delete(developer, project.id)
        load.until(reads=50)
    history = load.history + deletion
    verdict = check(history, no_stale_read)
    evidence.attach(history, verdict, ways=load.ways)
    assert verdict.holds, verdict.explain()
    assert load.ways["hit"], f"the cache served no read: {dict(load.ways)}"
