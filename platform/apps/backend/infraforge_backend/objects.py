"""Objects in MinIO: stored from a stream, hashed on the way, read back as a stream."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import minio
import urllib3
from infraforge_shared.problems import Problem, Unavailable
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from infraforge_backend.config import Config

BUCKET = "files"
_CHUNK = 256 * 1024
_PART = 8 * 1024 * 1024
_GONE = ("NoSuchKey", "NoSuchObject", "NoSuchUpload")


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Gone(Exception):
    """The object is not there (any more)."""


@dataclass(frozen=True)
class Stored:
    """What was stored: its size in bytes and the sha256 (hex) of what was read."""

    size: int
    sha256: str


class HashingReader:
    """A stream that counts and hashes what is read from it; Problem 413 beyond `limit` bytes."""

    def __init__(self, source: Readable, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._sha = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end: a part of an upload is asked for in one go."""
        pieces = []
        while size > 0 and (data := self._source.read(min(size, _CHUNK))):
            self.size += len(data)
            if self.size > self._limit:
                raise too_large(self._limit)
            self._sha.update(data)
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()


def too_large(limit: int) -> Problem:
    return Problem(413, f"a file may have {limit} bytes", {"Connection": "close"})


class Objects:
    """The object store of one process. Unavailable when it does not answer."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: minio.Minio | None = None
        self._lock = threading.Lock()

    def use(self, user: str, secret: str) -> None:
        """Sign requests with these keys from now on."""
        http = urllib3.PoolManager(
            **_verified(self._config),
            timeout=urllib3.Timeout(connect=2, read=15),
            retries=urllib3.Retry(total=1, connect=1, read=0, redirect=0, status=0),
            maxsize=16,
        )
        with self._lock:
            self._client = minio.Minio(
                self._config.minio_endpoint,
                access_key=user,
                secret_key=secret,
                secure=True,
                region="us-east-1",  # spares the look-up of the bucket's region
                http_client=http,
            )

    def put(self, key: str, source: Readable, length: int | None, limit: int) -> Stored:
        """Store all of `source` under `key`. length: bytes announced, None where unknown."""
        reader = HashingReader(source, limit)
        known = {"length": -1, "part_size": _PART} if length is None else {"length": length}
        try:
            self._ready().put_object(
                BUCKET,
                key,
                reader,
                num_parallel_uploads=1,
                **known,  # type: ignore[arg-type]
            )
        except (MinioException, HTTPError) as error:
            raise _unavailable(error) from error
        except OSError as error:  # how the client library says that the stream ended early
            came = f"{length} bytes were announced, {reader.size} came"
            raise Problem(400, came, {"Connection": "close"}) from error
        return Stored(reader.size, reader.sha256)

    def get(self, key: str, size: int, start: int = 0, length: int = 0) -> Iterator[bytes]:
        """The object's bytes in pieces. Gone when it is not there.

        size: all its bytes; length: how many are wanted from `start` on, 0 for all of them.

        The first piece is there when this returns, so that errors can still be told by a status.
        """
        try:
            answer = self._ready().get_object(BUCKET, key, start, length)
        except S3Error as error:
            if error.code in _GONE:
                raise Gone(key) from error
            raise _unavailable(error) from error
        except (MinioException, HTTPError) as error:
            raise _unavailable(error) from error
        if int(answer.headers.get("Content-Length", "-1")) != (length or size):
            answer.close()
            answer.release_conn()
            raise Problem(500, "the stored object has not the recorded size")
        return _pieces(answer)

    def remove(self, key: str) -> None:
        """Remove the object, and all parts of uploads to it; what is not there is no error."""
        client = self._ready()
        try:
            for upload in self._begun(client, key):
                client._abort_multipart_upload(BUCKET, key, upload)
            client.remove_object(BUCKET, key)
        except S3Error as error:
            if error.code not in _GONE:
                raise _unavailable(error) from error
        except (MinioException, HTTPError) as error:
            raise _unavailable(error) from error

    @staticmethod
    def _begun(client: minio.Minio, key: str) -> list[str]:
        """Ids of the uploads to the object that were begun and neither ended nor given up.

        The client library has no public way to them (7.2). MinIO lists those of a whole key.
        """
        found = client._list_multipart_uploads(BUCKET, prefix=key)
        return [str(one.upload_id) for one in found.uploads if one.object_name == key]

    def probe(self, seconds: float) -> str:
        """The store's liveness as it tells it itself: an empty string, or what is wrong."""
        with urllib3.PoolManager(**_verified(self._config)) as http:
            try:
                answer = http.request(
                    "GET",
                    f"https://{self._config.minio_endpoint}/minio/health/live",
                    timeout=urllib3.Timeout(total=seconds),
                    retries=False,
                )
            except HTTPError as error:
                return type(error).__name__
        return "" if answer.status == 200 else f"answers {answer.status}"

    def _ready(self) -> minio.Minio:
        client = self._client
        if client is None:
            raise Unavailable("there are no keys for the object store yet")
        return client


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    def all_of_it() -> Iterator[bytes]:
        try:
            yield from answer.stream(_CHUNK)
        finally:
            answer.close()
            answer.release_conn()

    return all_of_it()


def _unavailable(error: Exception) -> Unavailable:
    kind = error.code if isinstance(error, S3Error) else type(error).__name__
    return Unavailable(f"the object store does not do it: {kind}")


def _verified(config: Config) -> dict[str, Any]:
    """By the file's name, not its content: each connection trusts what is in it then."""
    return {"ca_certs": config.ca_file, "cert_reqs": "CERT_REQUIRED"}
