"""Remains of an upload are removed, whichever process died when; running uploads are kept."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import pytest

from infraforge.selftests import backend_world
from infraforge.selftests.test_app_conditions import Client

uploads = importlib.import_module("infraforge_backend.uploads")
garbage = importlib.import_module("infraforge_backend.garbage")
migrations = importlib.import_module("infraforge_backend.migrations")
problems = importlib.import_module("infraforge_shared.problems")


@pytest.fixture
def app(running: backend_world.Server) -> Any:
    return backend_world.fresh_application(running)


@pytest.fixture
def services(app: Any) -> Any:
    return app.extensions["infraforge"]


def listed(services: Any) -> dict[str, bool]:
    """Discarded objects: key → whether it is being removed."""
    query = "SELECT object_key, going FROM discarded_objects"
    rows = services.database.read(lambda c: c.execute(query).fetchall())
    return {row["object_key"]: row["going"] for row in rows}


def later(services: Any, seconds: float) -> None:
    change = "UPDATE discarded_objects SET delete_after = delete_after - make_interval(secs => %s)"
    services.database.write((), lambda c: c.execute(change, (seconds,)))


def test_parts_of_a_process_that_was_killed_are_removed_in_the_stated_time(services: Any) -> None:
    """No word came from it for as long as is stated: parts, object and row go."""
    key = "projects/p/o"
    services.database.write(
        (),
        lambda c: c.execute(
            "INSERT INTO discarded_objects VALUES (%s, now() + interval '60 s')", (key,)
        ),
    )
    services.objects.parts[key] = b"half of it"
    collector = garbage.Collector(services.database, services.objects)
    later(services, uploads.GRACE - 5)
    collector.beat()
    assert services.objects.parts
    later(services, 6)
    collector.beat()
    assert (services.objects.parts, listed(services)) == ({}, {})


def test_an_upload_that_is_slow_is_kept_for_as_long_as_its_process_says_so(
    app: Any, services: Any
) -> None:
    began, ends = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert ends.wait(30)

    services.objects.before_end = wait
    ask = Client(app)
    file = f"{ask.project()}/files/f"
    collector = garbage.Collector(services.database, services.objects)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(ask("PUT", file, b"slow").status_code))
    thread.start()
    assert began.wait(30)
    for _ in range(5):
        services.uploads.beat()
        later(services, uploads.GRACE - 5)
        collector.beat()
    ends.set()
    thread.join(30)
    assert answers == [201]
    assert ask("GET", file).data == b"slow"
    assert listed(services) == {}


def test_no_claim_on_an_upload_lasts_forever(services: Any) -> None:
    now = [0.0]
    mine = uploads.Uploads(services.database, lambda: now[0])
    add = "INSERT INTO discarded_objects VALUES ('k', now())"
    services.database.write((), lambda c: c.execute(add))
    collector = garbage.Collector(services.database, services.objects)
    with mine.under_way("k"):
        mine.beat()
        collector.beat()
        assert listed(services) == {"k": False}
        now[0] = uploads.LONGEST
        later(services, uploads.GRACE + 1)
        mine.beat()
        collector.beat()
    assert listed(services) == {}


def test_a_failed_upload_is_removed_at_once(app: Any, services: Any) -> None:
    ask = Client(app)
    file = f"{ask.project()}/files/f"
    services.objects.before_end = lambda: (_ for _ in ()).throw(problems.Unavailable("away"))
    assert ask("PUT", file, b"x").status_code == 503
    garbage.Collector(services.database, services.objects).beat()
    assert (services.objects.parts, listed(services)) == ({}, {})


def test_an_upload_whose_condition_fails_at_the_end_leaves_nothing(app: Any, services: Any) -> None:
    ask, once = Client(app), iter([True, False])
    file = f"{ask.project()}/files/f"
    # in a thread of its own: a request within a request would share its globals
    services.objects.before_end = lambda: (
        next(once) and backend_world.at_once(lambda: ask("PUT", file, b"first"))
    )
    assert ask("PUT", file, b"second", If_None_Match="*").status_code == 412
    garbage.Collector(services.database, services.objects).beat()
    assert list(services.objects.held.values()) == [b"first"]
    assert ask("GET", file).data == b"first"


def test_an_upload_cannot_take_back_what_is_being_removed(app: Any, services: Any) -> None:
    """The collector has marked the object: the upload fails, and the row names no object."""
    ask = Client(app)
    file = f"{ask.project()}/files/f"

    def marked() -> None:
        later(services, uploads.GRACE + 1)
        services.database.write((), garbage._mark)

    services.objects.before_end = marked
    assert ask("PUT", file, b"x").status_code == 408
    assert ask("GET", file).status_code == 404
    later(services, 1000)
    garbage.Collector(services.database, services.objects).beat()
    assert (services.objects.held, listed(services)) == ({}, {})


def test_a_slow_store_holds_up_no_transaction(services: Any) -> None:
    """Each removal takes longer than a transaction may idle; all are done, none twice."""
    services.database = backend_world.Database(services.database._server, idle_seconds=0.2)
    add = "INSERT INTO discarded_objects SELECT 'k' || n, now() FROM generate_series(1, 7) n"
    services.database.write((), lambda c: c.execute(add))
    removed: list[str] = []

    class Slow:
        def remove(self, key: str) -> None:
            threading.Event().wait(0.25)
            removed.append(key)

    garbage.Collector(services.database, Slow()).beat()
    assert (sorted(removed), listed(services)) == ([f"k{n}" for n in range(1, 8)], {})


def test_a_removed_object_is_struck_off_even_if_the_next_fails(services: Any) -> None:
    add = "INSERT INTO discarded_objects SELECT 'k' || n, now() FROM generate_series(1, 3) n"
    services.database.write((), lambda c: c.execute(add))

    class Failing:
        def __init__(self) -> None:
            self.left = 1

        def remove(self, key: str) -> None:
            if not self.left:
                raise problems.Unavailable("away")
            self.left -= 1

    garbage.Collector(services.database, Failing()).beat()
    assert list(listed(services).values()) == [True, True]
    later(services, garbage.EVERY + 1)
    garbage.Collector(services.database, services.objects).beat()
    assert listed(services) == {}
