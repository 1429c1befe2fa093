"""Bad input is refused in words, changes nothing, and puts neither errors nor bodies into logs.

Inputs are generated and the same in every run: hypothesis, derandomized, without its database.
"""

import base64
import json
import string
import uuid
from datetime import UTC, datetime

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infraforge.probes import logs
from infraforge.verdict import control
from infraforge.workloads.backend_client import BackendClient

pytestmark = pytest.mark.control("SOC2-PI1.5", "ISO27001-A.8.26", "NIST-SI-10")

BOUNDED = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MARK = f"mark{uuid.UUID(int=7).hex}"  # sent in bodies; must not appear in any log
CONTROLS = [chr(n) for n in (*range(32), 127)]
SQL = (
    "'; DROP TABLE projects; --",
    "' OR '1'='1",
    "1); DELETE FROM audit; --",
    "x' UNION SELECT rolname, rolpassword FROM pg_authid --",
    "$$; SELECT pg_sleep(30); $$",
    "\\'; COPY projects TO PROGRAM 'id'; --",
    "%(id)s %s {0} ${name}",
)
UNICODE = (
    "e\u0301\u0300\u0302 \u200b\u200d \ufeff",
    "\U0001f469\u200d\U0001f4bb \u05e9\u05dc\u05d5\u05dd",
    "\ufdfa" * 50,
    "\u0131\u0130\u00df\ufb03",
    "\U0010ffff",
)
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
        look_at_logs(self.site, self.began, asked)


def test_wrong_types_lengths_and_characters_are_refused(author, own, unharmed):
    """Fields that are mistyped, too long, unknown, missing or hold control characters get 4xx."""

    @BOUNDED
    @given(bad_fields)
    def tried(fields):
        raw = json.dumps(fields)  # NaN, Infinity and lone surrogates as well
        for method, path in (("POST", "/api/projects"), ("PUT", f"/api/projects/{own.id}")):
            unharmed.append(send(author, method, path, raw.encode("utf-8", "surrogatepass")))

    tried()
    unharmed.check()


def test_malformed_json_is_refused(author, own, unharmed):
    """A body that is truncated, nested too deeply, or not JSON in UTF-8 gets 4xx."""

    @BOUNDED
    @given(malformed)
    def tried(raw):
        for method, path in (("POST", "/api/projects"), ("PUT", f"/api/projects/{own.id}")):
            unharmed.append(send(author, method, path, raw))

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
        unharmed.append(send(author, method, path, raw, kind))
    unharmed.check()


def test_invalid_numbers_are_refused(author, own, unharmed):
    """A version other than the project's own and an invalid page size get 4xx."""

    @BOUNDED
    @given(st.one_of(st.integers(), st.sampled_from([0, 2, -1, 2**31, 2**63, 2**64, -(2**63)])))
    def versions(version):
        if version != own.version:
            raw = json.dumps({"name": MARK, "version": version}).encode()
            unharmed.append(send(author, "PUT", f"/api/projects/{own.id}", raw))

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
        unharmed.append(as_is(author, method, f"{base}/{name}", body))

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
        unharmed.append(as_is(author, "GET", path))
    unharmed.check()


HIDDEN = {
    "a zero-width space": "\u200b",
    "a Hangul filler": "\u3164",
    "a blank braille pattern": "\u2800",
    "white space": "\u2003\u3000",
    "a variation selector": "\ufe0f",
    "a combining mark first": "\u0301a",
    "a right-to-left mark": "a\u200fb",
    "an Arabic letter mark": "a\u061cb",
    "a right-to-left override": "a\u202eb",
    "a joiner between Latin letters": "a\u200db",
    "tag characters": "a\U000e0041\U000e0042",
    "a soft hyphen": "a\u00adb",
    "a private-use character": "\ue000",
    "a noncharacter": "\U0010ffff",
}
WRITTEN = {
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "emoji": "\U0001f469\U0001f3fd\u200d\U0001f4bb \u2764\ufe0f",
}


@pytest.mark.parametrize("name", HIDDEN.values(), ids=HIDDEN.keys())
def test_names_that_hide_or_deceive_are_refused(author, own, unharmed, name):
    """Names that are invisible or reverse the text direction are refused for projects and files."""
    raw = json.dumps({"name": name}).encode()
    unharmed.append(send(author, "POST", "/api/projects", raw))
    unharmed.append(send(author, "PUT", f"/api/projects/{own.id}", raw))
    unharmed.append(author.session.ask("PUT", file_path(own.id, name), data=b"content"))
    unharmed.check()


@pytest.mark.parametrize("name", WRITTEN.values(), ids=WRITTEN.keys())
def test_names_that_need_invisible_characters_are_accepted(author, own, name):
    """Names in scripts and emoji that need joiners are accepted and stored unchanged."""
    assert author.update_project(own.id, name).name == name
    assert author.put_file(own.id, name, b"content").name == name
    assert name in [file.name for file in author.files(own.id)[0]]


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


TEXTS = {f"SQL {n}": text for n, text in enumerate(SQL)}
TEXTS |= {f"Unicode {n}": text for n, text in enumerate(UNICODE)}


@pytest.mark.parametrize("kept", TEXTS.values(), ids=TEXTS.keys())
def test_text_is_stored_verbatim_or_refused(platform, author, own, kept):
    """SQL and text in any script are stored unchanged or refused, and never executed."""
    began = datetime.now(UTC)
    answers, stored = [], {}
    raw = json.dumps({"name": kept, "description": kept}).encode()
    answers.append(send(author, "POST", "/api/projects", raw))
    if answers[-1].status_code == 201:
        project = author.read_project(answers[-1].json()["id"])[0]
        stored |= {"name": project.name, "description": project.description}
        author.delete_project(project.id)
    try:
        put = author.session.ask("PUT", file_path(own.id, kept), data=b"content")
        answers.append(put)
        if put.status_code == 201:
            names = [file.name for file in author.files(own.id)[0] if file.name != "stays.txt"]
            stored["file"] = names[0] if len(names) == 1 else str(names)
    finally:
        for file in author.files(own.id)[0]:
            if file.name != "stays.txt":
                author.delete_file(own.id, file.name)
    told = [answer.status_code for answer in answers]
    control(401 not in told, f"requests got 401 in spite of the session: {told}")
    assert all(value == kept for value in stored.values()), stored
    assert all(a.status_code == 201 or 400 <= a.status_code < 500 for a in answers), answers
    assert author.read_project(own.id)[0] == own
    look_at_logs(platform.site, began, {a.headers.get("X-Request-Id", "") for a in answers})


def send(author, method, path, raw, kind="application/json"):
    headers = {"Content-Type": kind} if kind else {}
    return author.session.ask(method, path, data=raw, headers=headers)


def as_is(author, method, path, body=None):
    """Send the path exactly as given: requests would normalize it."""
    request = author.session.prepare_request(
        requests.Request(method, author.origin + "/", data=body)
    )
    request.url = author.origin + path
    return author.session.send(request, timeout=30, allow_redirects=False)


def file_path(project_id, name):
    allowed = string.ascii_letters + string.digits + "-._~"
    escaped = "".join(
        letter if letter in allowed else "".join(f"%{byte:02X}" for byte in letter.encode())
        for letter in name
    )
    return f"/api/projects/{project_id}/files/{escaped}"


def look_at_logs(site, since, asked):
    """Every line is JSON, none of these requests is logged as an error, and no body is logged."""
    broken, errors, bodies = [], [], []
    for component in ("backend", "ingress"):
        for line in logs.lines(site, component, since):
            if MARK in line:
                bodies.append(line)
            try:
                told = json.loads(line)
            except ValueError:
                if component == "backend":  # NGINX's error log is not JSON
                    broken.append(line)
                continue
            if told.get("request_id") in asked and (
                told.get("level") in ("error", "critical") or "exception" in told
            ):
                errors.append(line)
    assert not broken, broken[:5]
    assert not errors, errors[:5]
    assert not bodies, bodies[:5]


def _is_json(raw):
    try:
        json.loads(raw.decode("utf-8", "strict"))
    except (ValueError, RecursionError):
        return False
    return True
