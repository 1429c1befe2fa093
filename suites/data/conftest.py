"""Direct access to the stores behind the application: database, cache, object store."""

from __future__ import annotations

from collections.abc import Iterator

import minio
import pytest
import redis

from infraforge.components.minio import Minio
from infraforge.components.postgres import Connection, Postgres
from infraforge.components.redis_cache import RedisCache
from infraforge.stack import Platform


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
