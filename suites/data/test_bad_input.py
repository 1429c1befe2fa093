"""Bad requests are refused in words, change nothing, and put neither errors nor bodies into logs.

Inputs are generated and the same in every run: hypothesis, derandomized, without its database.
"""

import base64
import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infraforge.workloads.raw_requests import MARK, SQL, as_is, file_path, send

pytestmark = pytest.mark.control("SOC2-PI1.5", "ISO27001-A.8.26", "NIST-SI-10")

BOUNDED = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CONTROLS = [chr(n) for n in (*range(32), 127)]
NUMBERS = (
    "-1", "0", "-0", "1e3", "0x10", "2147483648", "9223372036854775808", "1" * 400, "NaN",
    "Infinity", "\u0663", "1_0", " 1", "1.0", "000000001999", "", "null", "true",
)  # fmt: skip

text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=40)
not_text = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
not_a_version = st.one_of(
    st.booleans(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
controlled = st.tuples(text, st.sampled_from([*CONTROLS, "\u2028", "\u202e", "\ud800"]), text)
bad_name = st.one_of(
    not_text,
    st.sampled_from(["", " ", "\u3000\u2003", "a" * 201, "\U0001f4ca" * 201, "x" * 60_000]),
    controlled.map("".join),
)
bad_description = st.one_of(not_text, st.just("d" * 10_001), st.just("nul \x00 nul"))
bad_fields = st.one_of(
    st.fixed_dictionaries({"name": bad_name}),
    st.fixed_dictionaries({"name": text, "description": bad_description}),
    st.fixed_dictionaries({"name": text, "version": not_a_version}),
    st.fixed_dictionaries({"description": text}),
    st.fixed_dictionaries(
        {"name": text, "description": text},
        optional={"id": text, "created_by": text, "__proto__": text, "NAME": text, "\x00": text},
    ).filter(lambda fields: len(fields) > 2),
    not_text.filter(lambda value: not isinstance(value, dict)),
    st.text(max_size=20),
)
malformed = st.one_of(
    st.binary(max_size=200).filter(lambda raw: not _is_json(raw)),
    st.sampled_from(
        [
            b"",
            b"{",
            b'{"name": "a"',
            b'{"name": "a",}',
            b"{'name': 'a'}",
            b'{"name": "\xff\xfe"}',
            b'\xef\xbb\xbf{"name": "a"}',
            '{"name": "a"}'.encode("utf-16"),
            b'{"name": "a"} {"name": "b"}',
            b"[" * 60_000,
            b'{"a":' * 9_000,
            b'{"name": "a", "version": ' + b"9" * 5_000 + b"}",
            b"\x00" * 100,
        ]
    ),
)
place = st.one_of(
    st.sampled_from(["%2e", "%2e%2e", "a%2fb", "..%2f..%2fetc%2fpasswd", "a%5cb", "..%5c..%5c",
                     "%00", "a%00.txt", "a%0a", "a%0d%0aX-Evil:1", "%ff%fe", "%c0%af", "%ed%a0%80",
                     "a" * 256, "%f0%9f%93%8a" * 64, "%e2%80%ae", "%7f", "%1b%5b2J"]),
    st.integers(1, 31).map(lambda code: f"x%{code:02x}y"),
)  # fmt: skip


def test_wrong_types_lengths_and_characters_are_refused(author, own, unharmed):
    """Fields that are mistyped, too long, unknown, missing or hold control characters get 4xx."""

    @BOUNDED
    @given(bad_fields)
    def tried(fields):
        # NaN, Infinity and lone surrogates as well
        raw = json.dumps(fields).encode("utf-8", "surrogatepass")
        for method, path in (("POST", "/api/projects"), ("PUT", f"/api/projects/{own.id}")):
            unharmed.append(send(author.session, method, path, raw))

    tried()
    unharmed.check()


def test_malformed_json_is_refused(author, own, unharmed):
    """A body that is truncated, nested too deeply, or not JSON in UTF-8 gets 4xx."""

    @BOUNDED
    @given(malformed)
    def tried(raw):
        for method, path in (("POST", "/api/projects"), ("PUT", f"/api/projects/{own.id}")):
            unharmed.append(send(author.session, method, path, raw))

    tried()
    unharmed.check()


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/xml", "application/x-www-form-urlencoded", "json",
             "multipart/form-data; boundary=x", "application/json-patch+json"],
)  # fmt: skip
def test_a_body_of_another_content_type_is_refused(author, own, unharmed, kind):
    """Well-formed JSON with another content type is refused, not guessed at."""
    raw = json.dumps({"name": MARK}).encode()
    for method, path in (("POST", "/api/projects"), ("PUT", f"/api/projects/{own.id}")):
        unharmed.append(send(author.session, method, path, raw, kind))
    unharmed.check()


def test_invalid_numbers_are_refused(author, own, unharmed):
    """A version other than the project's own and an invalid page size get 4xx."""

    @BOUNDED
    @given(st.one_of(st.integers(), st.sampled_from([0, 2, -1, 2**31, 2**63, 2**64, -(2**63)])))
    def versions(version):
        if version != own.version:
            raw = json.dumps({"name": MARK, "version": version}).encode()
            unharmed.append(send(author.session, "PUT", f"/api/projects/{own.id}", raw))

    versions()
    for number in NUMBERS:
        unharmed.append(author.session.ask("GET", "/api/projects", params={"limit": number}))
    for query in ({"page": "1"}, {"limit": "5", "Limit": "6"}, {"limit": "5", "after[]": "x"}):
        unharmed.append(author.session.ask("GET", "/api/projects", params=query))
    unharmed.check()


def test_invented_cursors_are_refused(author, unharmed):
    """The project list refuses a cursor that it did not issue."""
    key = uuid.UUID(int=1)
    made_up = [
        f"{moment} {key}"
        for moment in ("0000-01-01", "9999-12-31T23:59:59.999999+00:00 x", "now", "infinity", "0")
    ]
    made_up += ["2026-01-01T00:00:00+00:00 no-uuid", "x", " ", "' OR 1=1 --", "\x00 \x00"]
    cursors = [base64.urlsafe_b64encode(each.encode()).decode() for each in made_up]

    @BOUNDED
    @given(st.one_of(st.sampled_from([*made_up, *cursors, *SQL]), st.text(max_size=60)))
    def tried(cursor):
        answer = author.session.ask("GET", "/api/projects", params={"after": cursor, "limit": "1"})
        unharmed.append(answer)

    tried()
    unharmed.check()
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01"):
        after = base64.urlsafe_b64encode(f"{moment} {key}".encode()).decode()
        answer = author.session.ask("GET", "/api/projects", params={"after": after})
        assert answer.status_code in (200, 422), (moment, answer.text)


def test_path_tricks_are_refused(author, own, unharmed):
    """No file name escapes its project, ends early, or carries terminal control codes."""
    base = f"/api/projects/{own.id}/files"

    @BOUNDED
    @given(place, st.sampled_from(["PUT", "GET", "DELETE"]))
    def tried(name, method):
        body = MARK.encode() if method == "PUT" else None
        unharmed.append(as_is(author.session, method, f"{base}/{name}", body))

    tried()
    for path in (
        "/api/projects/x",
        "/api/projects/-1",
        "/api/projects/{}",
        f"/api/projects/{own.id}x",
        f"/api/projects/{own.id}%00",
        f"/api/projects/{own.id}'--",
        f"/api/projects/{own.id}/files/a/b",
        f"/api/projects/{own.id}/nothing",
    ):
        unharmed.append(as_is(author.session, "GET", path))
    unharmed.check()


CONDITIONS = {
    "malformed If-Match": ("If-Match", "nonsense"),
    "malformed If-None-Match": ("If-None-Match", '*, "a"'),
    "malformed If-Unmodified-Since": ("If-Unmodified-Since", "yesterday"),
    "malformed If-Modified-Since": ("If-Modified-Since", "0"),
    "malformed If-Range": ("If-Range", "x"),
    "If-Match of an unknown ETag": ("If-Match", '"nonsense"'),
    "a Content-Range": ("Content-Range", "bytes 0-6/10"),
    "Range on a change": ("Range", "bytes=0-1"),
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_unsupported_conditions_are_refused(author, own, unharmed, condition):
    """A change with a malformed or unsupported condition is refused and has no effect."""
    name, value = condition
    told, raw = {name: value}, json.dumps({"name": MARK}).encode()
    file = file_path(own.id, "stays.txt")
    for method, path, body in (
        ("POST", "/api/projects", raw),
        ("PUT", f"/api/projects/{own.id}", raw),
        ("DELETE", f"/api/projects/{own.id}", None),
        ("PUT", file, b"another"),
        ("PUT", file_path(own.id, "new.txt"), b"another"),
        ("DELETE", file, None),
    ):
        kind = {"Content-Type": "application/json"} if body == raw else {}
        unharmed.append(author.session.ask(method, path, data=body, headers={**kind, **told}))
    unharmed.check()


def _is_json(raw):
    try:
        json.loads(raw.decode("utf-8", "strict"))
    except (ValueError, RecursionError):
        return False
    return True
