"""Where a file's bytes are: the object in MinIO, its disk, and what PostgreSQL holds."""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import minio
import urllib3
from kubernetes import client
from minio.error import MinioException, S3Error
from psycopg import sql

from infraforge.components import containers
from infraforge.components.minio import BUCKET, NAMESPACE
from infraforge.components.postgres import Connection
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive

_GONE = ("NoSuchKey", "NoSuchObject")
_KEY = "SELECT object_key FROM files WHERE project_id = %s::uuid AND name = %s"
_TEXTS = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'm') ORDER BY 1
"""


@dataclass(frozen=True)
class Stored:
    """An object in the bucket. encryption: the algorithm that MinIO names, empty for none."""

    key: str
    size: int
    encryption: str


def key_of(database: Connection, project_id: str, name: str) -> str:
    """The key of the object in a file's row. Raises Inconclusive where there is no row."""
    row = database.execute(_KEY, (project_id, name)).fetchone()
    if row is None:
        raise Inconclusive(f"PostgreSQL has no file {name!r} of project {project_id}")
    return str(row[0])


def stored(store: minio.Minio, key: str) -> Stored | None:
    """The object as MinIO describes it; None where there is none. ClusterError without answer."""
    try:
        described = store.stat_object(bucket_name=BUCKET, object_name=key)
    except S3Error as error:
        if error.code in _GONE:
            return None
        raise ClusterError(f"MinIO did not describe {key}: {error.code}") from error
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise ClusterError(f"MinIO did not answer: {error}") from error
    headers: Mapping[str, str] = described.metadata or {}
    told = {name.lower(): value for name, value in headers.items()}
    return Stored(key, int(described.size or 0), told.get("x-amz-server-side-encryption", ""))


def under(store: minio.Minio, prefix: str) -> list[str]:
    """The keys of all objects that begin with this prefix."""
    try:
        listing = store.list_objects(bucket_name=BUCKET, prefix=prefix, recursive=True)
        return sorted(str(item.object_name) for item in listing)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise ClusterError(f"MinIO did not list {prefix}: {error}") from error


def announced(database: Connection, project_id: str) -> list[str]:
    """Keys of a project's objects without a file: running uploads, and objects to be deleted."""
    query = "SELECT object_key FROM discarded_objects WHERE object_key LIKE %s ORDER BY 1"
    return [str(row[0]) for row in database.execute(query, (f"projects/{project_id}/%",))]


def unfinished(store: minio.Minio, key: str) -> list[str]:
    """Ids of the uploads to the object of which MinIO keeps parts."""
    try:
        # the client library has no public method for them
        listing = store._list_multipart_uploads(BUCKET, prefix=key)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise ClusterError(f"MinIO did not list uploads to {key}: {error}") from error
    return [str(one.upload_id) for one in listing.uploads if one.object_name == key]


def content(store: minio.Minio, key: str) -> bytes:
    """The object's bytes as MinIO serves them."""
    try:
        answer = store.get_object(bucket_name=BUCKET, object_name=key)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise ClusterError(f"MinIO did not return {key}: {error}") from error
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def on_disk(site: Site, key: str) -> bytes:
    """The bytes on the drive under the object's name, undecoded.

    Raises ClusterError where nodes cannot be reached, Inconclusive where there are no files.
    """
    server = containers.find(site, "minio")
    folder = f"{_volume(site, server.pod)}/drive/{BUCKET}/{key}"
    listed = containers.on_node(site, server.node, "find", folder, "-type", "f")
    files = listed.splitlines()
    if not files:
        raise Inconclusive(f"there are no files in {shlex.quote(folder)} on {server.node}")
    chunks = []
    for file in files:
        text = containers.on_node(site, server.node, "base64", "--wrap=0", file)
        try:
            chunks.append(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise Inconclusive(f"{file} could not be read as a whole") from error
    return b"".join(chunks)


def rows_with(database: Connection, text: str) -> Mapping[str, int]:
    """Tables with `text` (plain, in hex or base64) in any column → number of such rows."""
    forms = [text, text.encode().hex(), base64.b64encode(text.encode()).decode().rstrip("=")]
    tables = {}
    for (name,) in database.execute(_TEXTS).fetchall():
        query = sql.SQL("SELECT count(*) FROM {} t WHERE t::text LIKE ANY (%s::text[])").format(
            sql.Identifier("public", name)
        )
        row = database.execute(query, ([f"%{form}%" for form in forms],)).fetchone()
        if row and row[0]:
            tables[str(name)] = int(row[0])
    large = database.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    if large and large[0]:
        tables["pg_largeobject"] = int(large[0])
    return tables


def _volume(site: Site, pod: str) -> str:
    """The folder on the node behind the pod's volume `data`."""
    try:
        claim: Any = site.core.read_namespaced_persistent_volume_claim(f"data-{pod}", NAMESPACE)
        volume: Any = site.core.read_persistent_volume(claim.spec.volume_name)
    except client.ApiException as error:
        raise ClusterError(f"the volume of {pod} cannot be read: {error.reason}") from error
    place = volume.spec.local or volume.spec.host_path
    if place is None:
        raise ClusterError(f"the volume of {pod} is not a folder of its node")
    return str(place.path)
