"""The audit trail cannot be rewritten or flooded, and does not grow forever."""

from __future__ import annotations

import psycopg
import pytest

from infraforge.components.backend import Backend
from infraforge.probes import logins
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient

pytestmark = pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-9")

ALLOWED, REFUSED = "allowed", "refused"
ROW = "(actor, role, action, target, outcome, request_id) VALUES ('x', '', 'x', 'x', 'done', '')"
MAY = {
    "adds a row": f"INSERT INTO public.audit {ROW}",
    "reads it": "SELECT count(*) FROM public.audit",
    "prunes old rows": "SELECT public.prune_audit()",
}
MAY_NOT = {
    "changes rows": "UPDATE public.audit SET actor = 'x'",
    "removes rows": "DELETE FROM public.audit",
    "empties it": "TRUNCATE public.audit",
    "drops it": "DROP TABLE public.audit",
    "renames it": "ALTER TABLE public.audit RENAME TO other",
    "takes ownership": "ALTER TABLE public.audit OWNER TO app_owner",
    "disables triggers": "ALTER TABLE public.audit DISABLE TRIGGER ALL",
    "adds a rule": "CREATE RULE r AS ON INSERT TO public.audit DO INSTEAD NOTHING",
    "sets a row's time": "INSERT INTO public.audit (at, actor, role, action, target, outcome,"
    " request_id) VALUES (now(), 'x', '', 'x', 'x', 'done', '')",
    "acts as its owner": "SET ROLE audit_owner",
    "drops the schema": "DROP SCHEMA public CASCADE",
    "replaces prune_audit": "CREATE OR REPLACE FUNCTION public.prune_audit() RETURNS bigint"
    " LANGUAGE sql AS 'SELECT 0::bigint'",
    "changes the search path": "ALTER DATABASE infraforge SET search_path = other",
}
FLOOD, MOST_ROWS, ROW_BYTES = 60, 20, 4096
PERIOD = 75  # seconds: a minute of counting, and the heartbeat of the backend's processes


def test_the_backends_logins_append_to_the_trail_and_rewrite_nothing(platform, evidence):
    """A backend login may insert into, read and prune the trail; PostgreSQL refuses all else."""
    backend = Backend()
    login = backend.new_login(platform.site)
    try:
        with logins.signed_in(platform.site, login) as database:
            answers = {what: tried(database, one) for what, one in {**MAY, **MAY_NOT}.items()}
    finally:
        backend.revoke(platform.site, login.lease_id)
    evidence.attach("\n".join(f"{what}: {answer}" for what, answer in answers.items()))
    assert {what: answers[what] for what in MAY} == dict.fromkeys(MAY, ALLOWED)
    assert {what: answers[what] for what in MAY_NOT} == dict.fromkeys(MAY_NOT, REFUSED)


@pytest.mark.waits
def test_a_flood_of_denials_becomes_a_few_counted_rows(front_door, people, database, evidence):
    """Sixty denials on one route become a few rows of bounded size whose counts add up to sixty."""
    person = people.make("viewer")
    client = BackendClient(front_door.sign_in(person.name, person.password), front_door.origin)
    answers = []
    for n in range(FLOOD):
        place = f"/api/projects/00000000-0000-4000-8000-{n:012}/files/{'long' * 60}"
        answers.append(client.session.ask("DELETE", place).status_code)
    assert answers == [403] * FLOOD

    def rows():
        return database.execute(
            "SELECT target, count, octet_length(a::text) FROM audit a WHERE actor = %s ORDER BY id",
            (person.name,),
        ).fetchall()

    wait_until(
        lambda: sum(row[1] for row in rows()) >= FLOOD,
        within=seconds(PERIOD),
        every=2.0,
        what="the trail counts all denials",
        broken=True,
    )
    trail = rows()
    evidence.attach("\n".join(map(str, trail)))
    assert sum(row[1] for row in trail) == FLOOD
    assert 1 <= len(trail) <= MOST_ROWS
    assert max(row[2] for row in trail) <= ROW_BYTES


def test_rows_past_their_retention_leave_the_trail(platform, database):
    """Pruning removes changes older than 400 days and denials older than 90, and nothing else."""
    add = """
    INSERT INTO audit (id, at, actor, role, action, target, outcome, request_id)
    OVERRIDING SYSTEM VALUE
    VALUES (-%(days)s, now() - make_interval(days => %(days)s), 'retention', '', 'x',
      %(days)s::text, %(outcome)s, '')
    """
    kept = {(399, "done"), (89, "denied")}
    for days, outcome in (*kept, (401, "done"), (91, "denied")):
        database.execute(add, {"days": days, "outcome": outcome})
    backend = Backend()
    login = backend.new_login(platform.site)
    try:
        with logins.signed_in(platform.site, login) as session:
            session.execute("SELECT public.prune_audit()")
        rows = database.execute("SELECT target, outcome FROM audit WHERE actor = 'retention'")
        left = {(int(target), outcome) for target, outcome in rows.fetchall()}
    finally:
        backend.revoke(platform.site, login.lease_id)
        database.execute("DELETE FROM audit WHERE actor = 'retention'")
    assert left == kept


def tried(database, statement):
    """Whether PostgreSQL allows the statement, which is rolled back in any case."""
    try:
        with database.transaction(force_rollback=True):
            database.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return REFUSED
    return ALLOWED
