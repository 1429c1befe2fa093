"""Names, headers and streams of the backend's files."""

from __future__ import annotations

import hashlib
import importlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraforge.selftests import apps  # noqa: F401

validation = importlib.import_module("infraforge_backend.validation")
headers = importlib.import_module("infraforge_backend.headers")
objects = importlib.import_module("infraforge_backend.objects")
problems = importlib.import_module("infraforge_shared.problems")
migrations = importlib.import_module("infraforge_backend.migrations")


@pytest.mark.parametrize("name", ["a", "ünï", "漢字 🎉.bin", " x ", "a" * 255, ".h"])
def test_names_are_kept_as_given(name: str) -> None:
    assert validation.new_file_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", "\u202egnp.exe", "ü" * 128, "\ud800"]
)
def test_names_that_deceive_or_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(validation.Invalid):
        validation.new_file_name(name)


def test_stored_names_stay_valid() -> None:
    """A name from before a rule can be read and deleted; only none is given any more."""
    assert validation.file_name("\u200b") == "\u200b"
    with pytest.raises(validation.Invalid):
        validation.new_file_name("\u200b")


def test_a_length_is_counted_in_the_form_that_is_stored() -> None:
    grows = "\ufb1d"  # one character, two in NFC
    assert validation.new_file_name("u\u0308" * 127) == "\u00fc" * 127
    with pytest.raises(validation.Invalid):
        validation.new_file_name(grows * 64)
    with pytest.raises(validation.Invalid):
        validation.project({"name": grows * 101})
    assert validation.project({"name": "u\u0308" * 200}).name == "\u00fc" * 200


@given(st.text(min_size=1, max_size=80))
def test_content_disposition_is_plain_ascii_with_nothing_to_break_out_of(name: str) -> None:
    try:
        name = validation.new_file_name(name)
    except validation.Invalid:
        return
    header = headers.attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "\\" not in header


@given(st.binary(max_size=2000), st.integers(1, 700))
def test_the_reader_hashes_all_bytes_whatever_the_chunk_size(data: bytes, piece: int) -> None:
    reader = objects.HashingReader(io.BytesIO(data), 10_000)
    while reader.read(piece):
        pass
    assert (reader.size, reader.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_reader_stops_at_the_limit() -> None:
    reader = objects.HashingReader(io.BytesIO(b"x" * 11), 10)
    with pytest.raises(problems.Problem) as caught:
        reader.read(100)
    assert caught.value.status == 413
    assert objects.HashingReader(io.BytesIO(b"x" * 10), 10).read(100) == b"x" * 10


def test_only_a_genuine_cursor_is_accepted() -> None:
    import datetime  # noqa: PLC0415
    import uuid  # noqa: PLC0415

    place = (datetime.datetime.now(datetime.UTC), uuid.uuid4())
    assert validation.read_cursor(validation.cursor(*place)) == place
    for bad in ("", "x", "=", "ä", "bm9uZQ=="):
        with pytest.raises(validation.Invalid):
            validation.read_cursor(bad)


@pytest.mark.parametrize("text", ["0", "201", "-1", "1.0", "²", "", " 5", "9" * 30])
def test_limits_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(validation.Invalid):
        validation.limit(text)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [m.version for m in migrations.known()] == list(range(1, len(migrations.known()) + 1))
