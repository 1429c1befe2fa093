"""Least privilege: the rights of backend and worker on NATS, and of the worker on PostgreSQL."""

from __future__ import annotations

import pytest

from infraforge.checkers import cells_match
from infraforge.components.nats import Nats
from infraforge.components.postgres import Postgres
from infraforge.probes import queue, reach
from infraforge.probes.reach import Source, Target
from infraforge.table import Table
from infraforge.verdict import control

pytestmark = pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6")

WAYS = (
    ("publish", "jobs.report"),
    ("publish", "events.project.created"),
    ("publish", "deadletters.jobs"),
    ("publish", "$JS.API.CONSUMER.MSG.NEXT.JOBS.workers"),
    ("publish", "$JS.API.STREAM.INFO.JOBS"),
    ("publish", "$JS.API.STREAM.DELETE.NONE"),
    ("publish", "$JS.API.STREAM.PURGE.NONE"),
    ("publish", "$SYS.REQ.SERVER.PING"),
    ("publish", "anything"),
    ("subscribe", "jobs.*"),
    ("subscribe", "events.>"),
    ("subscribe", ">"),
    ("subscribe", "_INBOX_operator.>"),
    ("subscribe", "_INBOX_backend.1"),
    ("subscribe", "_INBOX_worker.1"),
)
MAY = {
    "backend": {
        "publish jobs.report",
        "publish events.project.created",
        "subscribe _INBOX_backend.1",
    },
    "worker": {
        "publish deadletters.jobs",
        "publish $JS.API.CONSUMER.MSG.NEXT.JOBS.workers",
        "subscribe _INBOX_worker.1",
    },
}
_GRANTS = """
SELECT table_name, column_name, privilege_type FROM information_schema.column_privileges
WHERE grantee = 'app_worker'
"""


def test_backend_and_worker_have_exactly_their_rights_at_nats(platform, evidence):
    """Backend and worker may use their own subjects and inboxes on NATS, and nothing else."""
    observed = Table(
        {
            (user, way): answer
            for user in MAY
            for way, answer in queue.may(platform.site, user, WAYS).items()
        }
    )
    declared = Table(
        {(user, way): queue.ALLOWED if way in MAY[user] else queue.DENIED for user, way in observed}
    )
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()


def test_a_worker_may_touch_only_the_data_its_jobs_need(platform, evidence):
    """Worker logins may only read project names, files and jobs, and write jobs' outcomes."""
    with Postgres().connect(platform.site) as database:
        rows = database.execute(_GRANTS).fetchall()
        sessions = database.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'worker'"
        ).fetchall()
        roles = {
            row[0]
            for (user,) in sessions
            for row in database.execute(
                "SELECT r.rolname FROM pg_roles r WHERE pg_has_role(%s, r.oid, 'MEMBER')"
                " AND r.rolname <> %s",
                (user, user),
            ).fetchall()
        }
    may = {}
    for table, column, privilege in rows:
        may.setdefault((table, privilege), set()).add(column)
    evidence.attach("\n".join(f"{place}: {sorted(columns)}" for place, columns in may.items()))
    control(sessions, "the worker holds no database session")
    assert all(user.startswith("v-") for (user,) in sessions)
    assert roles == {"app_worker"}
    assert set(may) == {
        ("projects", "SELECT"),
        ("files", "SELECT"),
        ("jobs", "SELECT"),
        ("jobs", "UPDATE"),
        ("job_results", "SELECT"),
        ("job_results", "INSERT"),
        ("outbox", "INSERT"),
    }
    assert may["projects", "SELECT"] == {"id", "name"}
    assert may["jobs", "UPDATE"] == {"state", "error", "finished_at"}


def test_only_backend_and_worker_reach_the_queue(platform, evidence):
    """Only backend and worker can connect to NATS, not their neighbours or anything outside."""
    target = Target(f"{Nats.name}.{Nats.namespace}.svc", 4222)
    label = "app.kubernetes.io/name"
    allowed = tuple(
        Source(f"as the {name}", "infraforge-application", {label: name})
        for name in ("backend", "worker")
    )
    others = (
        Source("beside the backend", "infraforge-application"),
        Source("as the frontend", "infraforge-application", {label: "frontend"}),
        Source("as the ingress", "infraforge-access", {label: "ingress"}),
        Source("in the data layer", "infraforge-data"),
        Source("outside, labelled as the worker", "default", {label: "worker"}),
    )
    connections = reach.reach(platform.site, (*allowed, *others), (target,))
    declared = Table(
        {
            (source.name, str(target)): reach.OPEN if source in allowed else reach.BLOCKED
            for source in (*allowed, *others)
        }
    )
    verdict = cells_match(connections.table, declared)
    evidence.attach(connections.table, verdict, notes="\n".join(connections.notes) or "none")
    assert verdict.holds, verdict.explain()
