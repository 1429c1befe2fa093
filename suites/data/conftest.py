"""Direct access to the stores behind the application; a project that bad requests leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import minio
import pytest
import redis

from infraforge.components.minio import Minio
from infraforge.components.postgres import Connection, Postgres
from infraforge.components.redis_cache import RedisCache
from infraforge.probes import logs
from infraforge.stack import Platform
from infraforge.verdict import control
from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.raw_requests import MARK


@pytest.fixture
def database(platform: Platform) -> Iterator[Connection]:
    """The application's database, as its superuser."""
    with Postgres().connect(platform.site) as connection:
        yield connection


@pytest.fixture
def cache(platform: Platform) -> Iterator[redis.Redis]:
    """The cache, with read-only access."""
    with RedisCache().connect(platform.site) as client:
        yield client


@pytest.fixture
def store(platform: Platform) -> Iterator[minio.Minio]:
    """The object store, as its root user."""
    with Minio().connect(platform.site) as client:
        yield client


@pytest.fixture
def author(front_door, people):
    """A new developer, whose projects belong to this test alone."""
    person = people.make("developer")
    return BackendClient(front_door.sign_in(person.name, person.password), front_door.origin)


@pytest.fixture
def own(author):
    """The author's only project, with one file."""
    project = author.create_project("stays as it is", "whatever comes")
    author.put_file(project.id, "stays.txt", b"as it was")
    yield project
    author.delete_project(project.id)


@pytest.fixture
def unharmed(platform, author, own, database):
    """Collects responses, and checks that all are refusals and that nothing changed."""
    return Unharmed(platform.site, author, own, database)


class Unharmed(list):
    """Collected responses; `check` demands that each is a 4xx problem and nothing changed."""

    def __init__(self, site, author, own, database):
        super().__init__()
        self.began = datetime.now(UTC)
        self.site, self.author, self.own, self.database = site, author, own, database

    def check(self):
        control(self, "no request was sent")
        signed_out = sum(answer.status_code == 401 for answer in self)
        control(not signed_out, f"{signed_out} requests got 401 in spite of the session")
        told = {(a.status_code, a.headers.get("Content-Type", "").split(";")[0]) for a in self}
        odd = {
            (status, kind)
            for status, kind in told
            if not 400 <= status < 500 or kind != "application/problem+json"
        }
        assert not odd, f"responses other than 4xx problem documents: {odd}"
        own, author = self.own, self.author
        assert author.read_project(own.id)[0] == own
        rows = self.database.execute(
            "SELECT id::text, name, description, version FROM projects WHERE created_by = %s",
            (own.created_by,),
        ).fetchall()
        kept = [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in rows]
        assert kept == [(own.id, own.name, own.description, own.version)]
        assert [file.name for file in author.files(own.id)[0]] == ["stays.txt"]
        assert author.get_file(own.id, "stays.txt") == b"as it was"
        asked = {answer.headers.get("X-Request-Id", "") for answer in self}
        assert not logs.offences(self.site, self.began, asked, MARK)
