"""Files survive the round trip unchanged, are stored only in MinIO, and vanish when deleted."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata

import pytest

from infraforge.probes import declared, objects
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import FileInfo, Refused
from infraforge.workloads.streams import Stream

_MIB = 1024 * 1024

SMALL = {"nothing": 0, "one byte": 1, "an odd number": 70_001}

LARGE = {
    # longer than the backend's 8 MiB parts, and not a multiple of them
    "64 MiB, length declared": (64 * _MIB, True),
    "9 MiB and a byte, chunked": (9 * _MIB + 1, False),
}

NAMES = {
    "plain": "report.txt",
    "spaces": "annual  report 2026.txt",
    "umlauts": "Übersicht für Größen.pdf",
    "one code point": "caf\u00e9.txt",
    "two code points": "cafe\u0301.txt",
    "chinese": "報告書.xlsx",
    "right to left": "\u05e9\u05dc\u05d5\u05dd.txt",
    "beyond the basic plane": "\U0001f4ca figures.csv",
    "URL delimiters": "100% of a?b=c&d#e;f+g.txt",
    "already escaped": "a%2Fb%20c%00.txt",
    "dots": "..hidden..",
    "quotes": '"it\'s" <b>.txt',
    "the longest": "\u00fc" * 127 + "x",
}


@pytest.mark.control("SOC2-PI1.5", "NIST-SI-7")
@pytest.mark.parametrize("size", SMALL.values(), ids=SMALL.keys())
def test_file_comes_back_byte_for_byte(developer, project, size):
    """A download returns the uploaded bytes, and responses and the list give their checksum."""
    data = secrets.token_bytes(size)
    expected = FileInfo("data.bin", size, hashlib.sha256(data).hexdigest())
    assert developer.put_file(project.id, "data.bin", data) == expected
    assert developer.files(project.id)[0] == [expected]
    assert developer.get_file(project.id, "data.bin") == data


@pytest.mark.control("SOC2-PI1.5", "NIST-SI-7")
@pytest.mark.parametrize(("size", "announced"), LARGE.values(), ids=LARGE.keys())
def test_large_file_is_streamed_byte_for_byte(developer, project, size, announced):
    """A file of many parts comes back unchanged, whether or not its length was declared."""
    stream = Stream(size, seed=size)
    told = developer.put_file(project.id, "large.bin", stream if announced else iter(stream))
    assert told == FileInfo("large.bin", size, stream.sha256)
    back = developer.get_file(project.id, "large.bin")
    assert (len(back), hashlib.sha256(back).hexdigest()) == (size, stream.sha256)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_file_keeps_its_name(developer, project, name):
    """A file is stored, listed, read and deleted under the NFC form of its name."""
    content = f"the content of {name}".encode()
    developer.put_file(project.id, name, content)
    kept = unicodedata.normalize("NFC", name)
    assert [file.name for file in developer.files(project.id)[0]] == [kept]
    assert developer.get_file(project.id, name) == content
    developer.delete_file(project.id, name)
    assert developer.files(project.id)[0] == []


def test_names_that_only_look_alike_are_different_files(developer, project):
    """Files whose names differ in letters or case do not overwrite each other."""
    alike = ("caf\u00e9", "cafe", "CAF\u00c9", "caf\u0435")
    for name in alike:
        developer.put_file(project.id, name, name.encode())
    assert {file.name for file in developer.files(project.id)[0]} == set(alike)
    for name in alike:
        assert developer.get_file(project.id, name) == name.encode()


def test_equivalent_unicode_names_are_one_file(developer, project):
    """Canonically equivalent Unicode names denote one file, whichever of them a request uses."""
    forms = ("caf\u00e9", "cafe\u0301")
    for name in forms:
        developer.put_file(project.id, name, name.encode())
    assert [file.name for file in developer.files(project.id)[0]] == [forms[0]]
    assert [developer.get_file(project.id, name) for name in forms] == [forms[1].encode()] * 2
    developer.delete_file(project.id, forms[1])
    assert developer.files(project.id)[0] == []


@pytest.mark.control("SOC2-PI1.5")
def test_new_upload_replaces_the_old(developer, project):
    """After a second upload under the same name, reads return only its bytes."""
    for content in (b"the first, which is longer", b"", b"the last"):
        developer.put_file(project.id, "notes.txt", content)
        assert developer.get_file(project.id, "notes.txt") == content
    assert len(developer.files(project.id)[0]) == 1


@pytest.mark.control("SOC2-CC6.1")
@pytest.mark.parametrize("size", [0, 1, 300_000], ids=["nothing", "one byte", "300 kB"])
def test_file_content_is_stored_in_minio(developer, project, database, store, size):
    """MinIO holds the file's bytes under the object key recorded in the database."""
    data = secrets.token_bytes(size)
    developer.put_file(project.id, "data.bin", data)
    key = objects.key_of(database, project.id, "data.bin")
    stored = objects.stored(store, key)
    assert stored is not None, f"MinIO has no {key}"
    assert stored.size == size
    assert objects.content(store, key) == data


@pytest.mark.control("SOC2-CC6.1")
def test_postgresql_holds_no_file_content(developer, project, database):
    """No column of any table holds a file's content, though the database holds its name."""
    content, name = secrets.token_urlsafe(48), f"{secrets.token_urlsafe(24)}.txt"
    developer.put_file(project.id, name, content.encode())
    # the same search finds the name
    control("files" in objects.rows_with(database, name), "the search misses the file's name, too")
    assert objects.rows_with(database, content) == {}


@pytest.mark.control("SOC2-CC6.1", "SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-28")
def test_files_are_encrypted_on_disk(platform, developer, project, database, store):
    """MinIO reports the object as encrypted, and its drive holds no piece of the plain text."""
    content = secrets.token_urlsafe(3_000)
    developer.put_file(project.id, "secret.txt", content.encode())
    key = objects.key_of(database, project.id, "secret.txt")
    stored = objects.stored(store, key)
    assert stored is not None, f"MinIO has no {key}"
    assert stored.encryption in ("AES256", "aws:kms"), stored
    raw = objects.on_disk(platform.site, key)
    control(len(raw) >= len(content), f"only {len(raw)} bytes on disk, shorter than the file")
    control(raw.startswith(b"XL2 "), "the data on disk is not in MinIO's format")
    pieces = [content[at : at + 16] for at in range(0, len(content), 16)]
    assert [piece for piece in pieces if piece.encode() in raw] == []


@pytest.mark.control("ISO27001-A.8.10")
def test_deleted_file_is_neither_listed_nor_read(developer, project):
    """After its acknowledged deletion a file is neither listed nor readable; others still are."""
    for name in ("stays.txt", "goes.txt"):
        developer.put_file(project.id, name, name.encode())
        assert developer.get_file(project.id, name) == name.encode()
    developer.delete_file(project.id, "goes.txt")
    assert [file.name for file in developer.files(project.id)[0]] == ["stays.txt"]
    with pytest.raises(Refused) as refused:
        developer.get_file(project.id, "goes.txt")
    assert refused.value.status == 404
    assert developer.get_file(project.id, "stays.txt") == b"stays.txt"


@pytest.mark.waits
@pytest.mark.control("ISO27001-A.8.10")
def test_deleted_file_content_leaves_minio(platform, developer, project, database, store):
    """A deleted file's object leaves MinIO once the grace time for running downloads is over."""
    developer.put_file(project.id, "goes.txt", b"not for long")
    developer.put_file(project.id, "stays.txt", b"to stay")
    going = objects.key_of(database, project.id, "goes.txt")
    staying = objects.key_of(database, project.id, "stays.txt")
    assert objects.stored(store, going), f"MinIO has no {going}"
    developer.delete_file(project.id, "goes.txt")
    wait_until(
        lambda: objects.stored(store, going) is None,
        within=declared.object_keeping(platform.site) + seconds(30),
        every=1.0,
        what=f"{going} is removed from MinIO",
        broken=True,
    )
    assert objects.stored(store, staying), f"MinIO lost {staying}, too"
