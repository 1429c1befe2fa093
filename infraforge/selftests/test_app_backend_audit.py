"""The audit trail: who may do what to it, how much one person can fill, and how long it lasts."""

from __future__ import annotations

import importlib
from typing import Any

import psycopg
import pytest

from infraforge.selftests import backend_world
from infraforge.selftests.test_app_backend_app import VIEWER

audit = importlib.import_module("infraforge_backend.audit")
migrations = importlib.import_module("infraforge_backend.migrations")

ROW = "(actor, role, action, target, outcome, request_id) VALUES ('a', 'b', 'c', 'd', 'done', 'r')"
FORBIDDEN = {
    "changes rows": "UPDATE public.audit SET actor = 'x'",
    "removes rows": "DELETE FROM public.audit",
    "empties it": "TRUNCATE public.audit",
    "drops it": "DROP TABLE public.audit",
    "renames it": "ALTER TABLE public.audit RENAME TO other",
    "takes it": "ALTER TABLE public.audit OWNER TO app_owner",
    "disables its triggers": "ALTER TABLE public.audit DISABLE TRIGGER ALL",
    "lifts its bound": "ALTER TABLE public.audit DROP CONSTRAINT audit_is_bounded",
    "adds a trigger": "CREATE TRIGGER t BEFORE INSERT ON public.audit FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "adds a rule": "CREATE RULE r AS ON INSERT TO public.audit DO INSTEAD NOTHING",
    "sets a row's time": "INSERT INTO public.audit (at, actor, role, action, target, outcome,"
    " request_id) VALUES (now(), 'a', 'b', 'c', 'd', 'done', 'r')",
    "sets a row's number": "INSERT INTO public.audit (id, actor, role, action, target, outcome,"
    " request_id) OVERRIDING SYSTEM VALUE VALUES (1, 'a', 'b', 'c', 'd', 'done', 'r')",
    "turns its numbers back": "ALTER SEQUENCE public.audit_id_seq RESTART",
    "locks rows": "SELECT * FROM public.audit FOR UPDATE",
    "acts as its owner": "SET ROLE audit_owner",
    "becomes its owner": "GRANT audit_owner TO app_owner",
    "drops the schema": "DROP SCHEMA public CASCADE",
    "renames the schema": "ALTER SCHEMA public RENAME TO other",
    "leads names astray": "ALTER DATABASE infraforge SET search_path = other",
    "makes a schema": "CREATE SCHEMA other",
    "has another prune it": "CREATE OR REPLACE FUNCTION public.prune_audit() RETURNS bigint"
    " LANGUAGE sql AS 'SELECT 0::bigint'",
    "drops what prunes it": "DROP FUNCTION public.prune_audit()",
    "runs no trigger": "SET session_replication_role = replica",
}


@pytest.fixture
def app(running: backend_world.Server) -> Any:
    return backend_world.fresh_application(running)


def rows(running: backend_world.Server) -> list[Any]:
    with running.connect() as admin:
        return list(admin.execute("SELECT * FROM public.audit ORDER BY id").fetchall())


def test_the_applications_logins_add_and_read_and_do_nothing_else(
    running: backend_world.Server, app: Any
) -> None:
    with running.connect(user=backend_world.LOGIN) as login:
        login.execute(f"INSERT INTO public.audit {ROW}".encode())
        before = rows(running)
        for what, statement in FORBIDDEN.items():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(statement.encode())
            assert rows(running) == before, what
        assert login.execute("SELECT actor FROM public.audit").fetchall() == [{"actor": "a"}]
        with pytest.raises(psycopg.errors.CheckViolation):
            login.execute(
                f"INSERT INTO public.audit {ROW}".replace("'d'", "repeat('d', 5000)").encode()
            )


def test_an_existing_platform_keeps_its_audit_trail(running: backend_world.Server) -> None:
    """Made by the first migrations, owned by the application; what is in it stays."""
    running.fresh()
    database = backend_world.Database(running)

    def as_it_was(connection: Any) -> None:
        for migration in migrations.known()[:2]:
            connection.execute(migration.sql.encode())
            connection.execute(migrations._TABLE)
            values = (migration.version, migration.name, migration.sha256)
            connection.execute("INSERT INTO schema_migrations VALUES (%s, %s, %s)", values)
        connection.execute(f"INSERT INTO audit {ROW}".replace("'d'", "repeat('d', 8000)").encode())
        connection.execute("UPDATE audit SET actor = 'x'")  # it could

    database.write((), as_it_was)
    running.configure()
    running.configure()
    database.write((), lambda c: c.execute(f"INSERT INTO audit {ROW}".encode()))  # a pod of before
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.write((), lambda c: c.execute("UPDATE audit SET actor = 'y'"))
    applied = database.write((), migrations.apply)
    assert applied == [one.name for one in migrations.known() if one.version >= 3]
    running.configure()
    assert [(row["actor"], row["count"]) for row in rows(running)] == [("x", 1), ("a", 1)]


def test_names_that_become_one_stay_two(running: backend_world.Server) -> None:
    running.fresh()
    database = backend_world.Database(running)
    add = "INSERT INTO files SELECT id, n, n, 1, '', '' FROM projects, unnest(%s::text[]) n"

    def as_it_was(connection: Any) -> None:
        for migration in migrations.known()[:2]:
            connection.execute(migration.sql.encode())
        make = "INSERT INTO projects VALUES (gen_random_uuid(), 'p', '', 1, 'd')"
        connection.execute(make.encode())
        connection.execute(add, (["cafe\u0301", "caf\u00e9", "u\u0308", "plain"],))
        connection.execute(migrations.known()[2].sql.encode())

    database.write((), as_it_was)
    file_names = database.read(lambda c: c.execute("SELECT name FROM files").fetchall())
    names = sorted(row["name"] for row in file_names)
    assert [name for name in names if "(" not in name] == ["caf\u00e9", "plain", "\u00fc"]
    assert len(names) == 4


def test_a_flood_of_denials_is_a_few_rows_and_their_number(
    running: backend_world.Server, app: Any
) -> None:
    services = app.extensions["infraforge"]
    now = [0.0]
    services.denials = audit.Denials(services.database, lambda: now[0])
    client = app.test_client()
    for n in range(300):
        answer = client.post(f"/api/projects/{'0' * 8}-0000-4000-8000-{n:012}/jobs", headers=VIEWER)
        assert answer.status_code == 403
    client.delete(f"/api/projects/{'0' * 8}-0000-4000-8000-000000000000", headers=VIEWER)
    assert len(rows(running)) == audit.BURST + 1
    services.denials.beat()
    assert len(rows(running)) == audit.BURST + 1
    now[0] = audit.PERIOD
    services.denials.beat()
    services.denials.beat()
    trail = rows(running)
    assert sum(row["count"] for row in trail) == 301
    assert (len(trail), trail[-1]["count"]) == (audit.BURST + 2, 300 - audit.BURST)
    assert trail[-1]["target"] == "POST /api/projects/<uuid:project_id>/jobs"
    assert {(row["actor"], row["outcome"]) for row in trail} == {("vera", "denied")}
    client.post("/api/projects", headers=VIEWER)  # a new period
    assert len(rows(running)) == audit.BURST + 3


def test_what_was_counted_when_a_process_stops_is_written_down(
    running: backend_world.Server, app: Any
) -> None:
    for _ in range(20):
        app.test_client().post("/api/projects", headers=VIEWER)
    app.extensions["infraforge"].denials.flush()
    assert sum(row["count"] for row in rows(running)) == 20


def test_no_row_is_larger_than_its_bound(running: backend_world.Server, app: Any) -> None:
    place = "/api/projects/00000000-0000-4000-8000-000000000000/files/" + "%F0%9F%93%8A" * 2000
    assert app.test_client().put(place, headers=VIEWER).status_code == 403
    (row,) = rows(running)
    assert len(row["target"].encode()) <= audit.FIELD_BYTES
    assert row["target"].endswith("\U0001f4ca…")


@pytest.mark.parametrize("length", [0, 1, 498, 499, 500, 501, 502, 3000])
def test_a_field_is_cut_between_characters(length: int) -> None:
    for text in ("a" * length, "\u00fc" * length, "\U0001f4ca" * length):
        cut = audit.cut(text)
        assert len(cut.encode()) <= audit.FIELD_BYTES
        assert cut == text or text.startswith(cut[:-1])


def test_old_rows_are_pruned_and_denials_drive_nothing_else_out(
    running: backend_world.Server, app: Any
) -> None:
    """Denials for 90 days, changes for 400; and by number, each kind apart."""
    add = """
    INSERT INTO public.audit (at, actor, role, action, target, outcome, request_id)
    SELECT now() - make_interval(days => n), 'a', 'b', 'c', 'd', %s, ''
    FROM generate_series(1, 500) n ORDER BY n DESC
    """
    with running.connect() as admin:
        for outcome in ("done", "denied"):
            admin.execute(add, (outcome,))
        flood = add.replace("make_interval(days => n)", "interval '0'").replace("500", "100200")
        admin.execute(flood, ("denied",))
        audit.prune(app.extensions["infraforge"].database)
        left = admin.execute(
            "SELECT outcome, count(*) AS rows FROM public.audit GROUP BY outcome"
        ).fetchall()
    counts = {row["outcome"]: row["rows"] for row in left}
    assert counts["done"] in (399, 400)
    assert counts["denied"] == 100_000
