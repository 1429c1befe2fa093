"""Conditions and ranges: honoured or refused, in the backend and in the platform API."""

from __future__ import annotations

import importlib
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infraforge.selftests import backend_world
from infraforge.selftests.test_app_backend_app import DEVELOPER, VIEWER

conditions = importlib.import_module("infraforge_shared.conditions")
problems = importlib.import_module("infraforge_shared.problems")

OLD, FUTURE = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
MALFORMED = {
    "If-Match": ["nonsense", '"a', 'a"', "", ",", '*, "a"', '"a" "b"', 'w/"a"', "'a'", '"a"; x'],
    "If-None-Match": ["nonsense", "**", '"a", *', "W/a", "\x01"],
    "If-Unmodified-Since": [
        "yesterday",
        "",
        "0",
        "2026-01-01T00:00:00Z",
        "Sun, 99 Nov 1994 08:49:37 GMT",
    ],
    "If-Modified-Since": ["now", "Sun, 06 Nov 1994 08:49:37 CET"],
    "If-Range": ["x", '"a", "b"', "*"],
}
DATES = [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
]


@pytest.mark.parametrize("name", MALFORMED)
def test_unreadable_conditions_get_400(name: str) -> None:
    for text in MALFORMED[name]:
        with pytest.raises(problems.Problem) as refused:
            _read({name: text})
        assert refused.value.status == 400, text


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"a"', ('"a"',)),
        (' "a" ,, W/"b" ', ('"a"', 'W/"b"')),
        ("*", ("*",)),
        ('""', ('""',)),
        ('"a,b", "c"', ('"a,b"', '"c"')),
    ],
)
def test_lists_of_tags_are_read(text: str, tags: tuple[str, ...]) -> None:
    assert _read({"If-Match": text}).match == tags


def test_all_three_forms_of_a_date_are_one_moment() -> None:
    assert len({_read({"If-Modified-Since": date}).modified_since for date in DATES}) == 1


def test_parsing_any_text_is_fast() -> None:
    for text in ('"a"' + ",   " * 2000 + "x", '"' * 8000, "W/" * 4000, '"a",' * 2000 + "b"):
        began = time.process_time()
        with pytest.raises(problems.Problem):
            _read({"If-None-Match": text})
        assert time.process_time() - began < 0.5


def test_a_change_compares_strongly_and_a_read_weakly() -> None:
    weak = _read({"If-Match": 'W/"a"'})
    assert weak.fails('"a"') == "If-Match"
    assert weak.answer('"a"') == 412
    assert _read({"If-None-Match": 'W/"a"'}).answer('"a"') == 304
    assert _read({"If-None-Match": 'W/"a"'}).fails('"a"') == "If-None-Match"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("pages=1-2", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=4-99", (4, 6)),
        ("bytes=10-", 416),
        ("bytes=-0", 416),
        ("bytes=0-1,3-4", 416),
        ("bytes=3-1", 400),
        ("bytes=", 400),
        ("bytes=a-b", 400),
        ("bytes=\u0661-2", 400),
        ("x", 400),
    ],
)
def test_ranges(text: str | None, found: Any) -> None:
    if isinstance(found, int):
        with pytest.raises(problems.Problem) as refused:
            conditions.span(text, 10)
        assert refused.value.status == found
    else:
        span = conditions.span(text, 10)
        assert found == (span and (span.start, span.length))


def _read(headers: dict[str, str]) -> Any:
    flask = importlib.import_module("flask")
    with flask.Flask("x").test_request_context():
        return conditions.Conditions.read(headers)


# the backend


@pytest.fixture(scope="module")
def running() -> Iterator[backend_world.Server]:
    with backend_world.server() as made:
        made.fresh()
        migrations = importlib.import_module("infraforge_backend.migrations")
        backend_world.Database(made).write((), migrations.apply)
        yield made


@pytest.fixture
def app(running: backend_world.Server) -> Any:
    return backend_world.application(running)


class Client:
    """A developer's requests."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, method: str, path: str, body: Any = None, **more: str) -> Any:
        headers = {**DEVELOPER, **{name.replace("_", "-"): value for name, value in more.items()}}
        rest = {"json": body} if isinstance(body, dict) else {"data": body}
        return self.app.test_client().open(
            path, method=method, headers=headers, buffered=True, **rest
        )

    def project(self) -> str:
        return f"/api/projects/{self('POST', '/api/projects', {'name': 'p'}).json['id']}"


@pytest.fixture
def ask(app: Any) -> Client:
    return Client(app)


def test_a_project_is_changed_only_as_it_was_read(ask: Client) -> None:
    place = ask.project()
    first = ask("GET", place).headers["ETag"]
    changed = ask("PUT", place, {"name": "q"}, If_Match=first)
    assert (changed.status_code, changed.headers["ETag"]) == (
        200,
        ask("GET", place).headers["ETag"],
    )
    for header, value in (
        ("If_Match", first),
        ("If_Match", '"nonsense"'),
        ("If_Match", f"W/{changed.headers['ETag']}"),
        ("If_None_Match", "*"),
        ("If_None_Match", changed.headers["ETag"]),
        ("If_Unmodified_Since", OLD),
    ):
        for method, body in (("PUT", {"name": "r"}), ("DELETE", None)):
            refused = ask(method, place, body, **{header: value})
            assert (refused.status_code, refused.mimetype) == (412, "application/problem+json")
    assert ask("GET", place).json["name"] == "q"
    assert ask("PUT", place, {"name": "r"}, If_Unmodified_Since=FUTURE).status_code == 200
    assert ask("PUT", place, {"name": "s"}, If_Match="*").status_code == 200
    gone = place[:-1] + ("0" if place[-1] != "0" else "1")
    assert ask("PUT", gone, {"name": "s"}, If_Match="*").status_code == 404
    assert ask("DELETE", place, If_Match=ask("GET", place).headers["ETag"]).status_code == 204


def test_a_file_is_replaced_only_as_it_was_read(ask: Client, app: Any) -> None:
    file = f"{ask.project()}/files/f"
    assert ask("PUT", file, b"one", If_Match="*").status_code == 412  # there is nothing
    assert ask("PUT", file, b"one", If_Unmodified_Since=FUTURE).status_code == 412
    made = ask("PUT", file, b"one", If_None_Match="*")
    tag = made.headers["ETag"]
    assert (made.status_code, ask("GET", file).headers["ETag"]) == (201, tag)
    for method in ("PUT", "DELETE"):
        for header, value in (
            ("If_None_Match", "*"),
            ("If_None_Match", tag),
            ("If_Match", '"other"'),
            ("If_Unmodified_Since", OLD),
        ):
            assert ask(method, file, b"two", **{header: value}).status_code == 412
    assert ask("GET", file).data == b"one"
    assert len(app.extensions["infraforge"].objects.held) == 1  # refused before it was stored
    # the same bytes again are another upload: what was read before is not what is there
    assert ask("PUT", file, b"two", If_Match=tag).status_code == 201
    assert ask("PUT", file, b"one").headers["ETag"] != tag
    assert ask("PUT", file, b"x", If_Match=tag).status_code == 412
    assert ask("DELETE", file, If_Match=ask("GET", file).headers["ETag"]).status_code == 204


@pytest.mark.parametrize("there", [False, True])
def test_of_two_concurrent_exclusive_uploads_one_succeeds(app: Any, there: bool) -> None:
    """Both have sent all before either is switched to: the check is in the transaction."""
    ask, store = Client(app), app.extensions["infraforge"].objects
    file = f"{ask.project()}/files/f"
    told = {"If_None_Match": "*"}
    if there:
        told = {"If_Match": ask("PUT", file, b"before").headers["ETag"]}
    both = threading.Barrier(2)
    store.before_end = lambda: both.wait(10)
    answers = backend_world.at_once(
        *(lambda body=body: ask("PUT", file, body, **told).status_code for body in (b"a", b"b"))
    )
    assert sorted(answers) == [201, 412]


def test_of_two_concurrent_changes_of_a_version_one_succeeds(ask: Client) -> None:
    place = ask.project()
    tag = ask("GET", place).headers["ETag"]
    answers = backend_world.at_once(
        *(lambda: ask("PUT", place, {"name": "x"}, If_Match=tag).status_code for _ in range(6))
    )
    assert sorted(answers) == [200, *[412] * 5]


def test_reads_are_conditional_everywhere(ask: Client) -> None:
    place = ask.project()
    ask("PUT", f"{place}/files/f", b"0123456789")
    for path in (
        place,
        f"{place}/files",
        f"{place}/files/f",
        "/api/projects",
        f"{place}/jobs",
        "/api/me",
    ):
        first = ask("GET", path)
        tag = first.headers["ETag"]
        assert tag.startswith('"'), path
        same = ask("GET", path, If_None_Match=tag)
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag), path
        assert ask("GET", path, If_None_Match=f'"x", W/{tag}').status_code == 304
        assert ask("GET", path, If_None_Match='"x"').data == first.data
        assert ask("GET", path, If_Match='"x"').status_code == 412, path
        assert ask("GET", path, If_Match=tag).status_code == 200
        assert ask("HEAD", path, If_None_Match=tag).status_code == 304
        for name in MALFORMED:
            refused = ask("GET", path, **{name.replace("-", "_"): MALFORMED[name][0]})
            assert (refused.status_code, refused.mimetype) == (400, "application/problem+json")
    assert ask("GET", f"{place}/files/f", If_Modified_Since=FUTURE).status_code == 304
    assert ask("GET", f"{place}/files/f", If_Unmodified_Since=OLD).status_code == 412
    assert ask("GET", place, If_Modified_Since=FUTURE).status_code == 304
    assert ask("GET", place, If_Unmodified_Since=OLD).status_code == 412
    absent = ask("GET", f"{place}/files/g", If_None_Match="*")
    assert absent.status_code == 404


def test_a_part_of_a_file_can_be_read(ask: Client) -> None:
    file = f"{ask.project()}/files/f"
    tag = ask("PUT", file, b"0123456789").headers["ETag"]
    part = ask("GET", file, Range="bytes=2-4", If_Range=tag)
    assert (part.status_code, part.data) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    assert ask("GET", file, Range="bytes=2-4", If_Range='"x"').data == b"0123456789"
    assert ask("GET", file, Range="bytes=2-4", If_Range=FUTURE).status_code == 200
    assert ask("GET", file, Range="bytes=2-4", If_None_Match=tag).status_code == 304
    over = ask("GET", file, Range="bytes=10-")
    assert (over.status_code, over.headers["Content-Range"]) == (416, "bytes */10")
    assert ask("GET", file, Range="bytes=x").status_code == 400


CHANGES = [
    ("POST", "/api/projects", {"name": "x"}),
    ("PUT", "{}", {"name": "x"}),
    ("DELETE", "{}", None),
    ("PUT", "{}/files/f", b"x"),
    ("DELETE", "{}/files/f", None),
    ("POST", "{}/jobs", {"kind": "report"}),
]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Content-Range", "bytes 0-0/10", 400),
        ("Content-Range", "", 400),
        ("Range", "bytes=0-1", 400),
        ("If-Range", '"x"', 400),
        ("If-Modified-Since", OLD, 400),
        ("Expect", "200-ok", 417),
        ("If", '(["x"])', 400),
        ("If-Schedule-Tag-Match", '"x"', 400),
        ("If-Match", "nonsense", 400),
        ("If-Match", '"nonsense"', 412),
        ("If-Unmodified-Since", OLD, 412),
    ],
)
def test_a_change_with_an_unsupported_condition_is_refused(
    ask: Client, name: str, value: str, status: int
) -> None:
    place = ask.project()
    ask("PUT", f"{place}/files/f", b"as it was")
    before = [ask("GET", path).data for path in (place, f"{place}/files", f"{place}/jobs")]
    many = len(ask("GET", "/api/projects?limit=200").json["items"])
    for method, path, body in CHANGES:
        answer = ask(method, path.format(place), body, **{name.replace("-", "_"): value})
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), path
    assert before == [ask("GET", path).data for path in (place, f"{place}/files", f"{place}/jobs")]
    assert len(ask("GET", "/api/projects?limit=200").json["items"]) == many


def test_permission_is_checked_before_conditions(app: Any) -> None:
    headers = {**VIEWER, "If-Match": "nonsense", "Content-Type": "application/json"}
    answer = app.test_client().post("/api/projects", headers=headers, data=io.BytesIO(b"{}"))
    assert answer.status_code == 403
