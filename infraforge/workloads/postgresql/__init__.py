"""Straight to PostgreSQL, by the names of its members: what is done there, and what is seen.

`lock` and `remote` are imported by their own names: they need the Kubernetes client, and `inside`
imports this package in a pod that has none.
"""

from infraforge.workloads.postgresql.load import Load
from infraforge.workloads.postgresql.members import Member, Members
from infraforge.workloads.postgresql.watchers import Watchers, event, machine

__all__ = ["Load", "Member", "Members", "Watchers", "event", "machine"]
