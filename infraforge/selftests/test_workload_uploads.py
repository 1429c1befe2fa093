"""Uploads and reading them back, against a store that may lie."""

from __future__ import annotations

import hashlib

import pytest

from infraforge.checkers import acknowledged_writes_kept
from infraforge.verdict import Outcome, check
from infraforge.workloads import uploads
from infraforge.workloads.backend_client import BackendClient, FileInfo, Unknown

SIZE = 64


class Store(BackendClient):
    """A project's files in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.listed: dict[str, FileInfo] = {}
        self.away = False

    def put_file(self, project_id: str, name: str, data: object) -> FileInfo:
        if self.away:
            raise Unknown(503, "away")
        assert isinstance(data, bytes)
        self.kept[name] = data
        self.listed[name] = FileInfo(name, len(data), hashlib.sha256(data).hexdigest())
        return self.listed[name]

    def get_file(self, project_id: str, name: str) -> bytes:
        return self.kept[name]

    def files(self, project_id: str) -> tuple[list[FileInfo], str]:
        return list(self.listed.values()), "hit"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(uploads, "twin", lambda client: client)
    monkeypatch.setattr(uploads, "_PACE", 0.001)
    return Store()


def test_what_was_uploaded_is_read_back_as_a_set(store: Store) -> None:
    with uploads.Uploads(store, "p", SIZE) as uploading:
        uploading.until(ended=3, within=5)
        store.away = True
        uploading.until(ended=2, kind=uploads.Kind.INFO, within=5)
    read, wrong = uploads.read_back(store, "p")
    assert wrong == {}
    verdict = check(uploading.history + read, acknowledged_writes_kept)
    assert verdict.outcome is Outcome.HOLDS
    del store.listed["upload-1.bin"]
    lossy = check(uploading.history + uploads.read_back(store, "p")[0], acknowledged_writes_kept)
    assert lossy.outcome is Outcome.BROKEN


def test_a_list_that_disagrees_with_the_bytes_is_told(store: Store) -> None:
    for name in ("upload-1.bin", "upload-2.bin"):
        store.put_file("p", name, uploads.content(name, SIZE))
    store.kept["upload-1.bin"] = store.kept["upload-1.bin"][:-1]
    store.put_file("p", "upload-3.bin", uploads.content("upload-2.bin", SIZE))
    _, wrong = uploads.read_back(store, "p")
    assert set(wrong) == {"upload-1.bin", "upload-3.bin"}
