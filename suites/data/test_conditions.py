"""Conditional and range requests (RFC 9110, sections 13 and 14): no lost update."""

from __future__ import annotations

import contextlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from infraforge.errors import Inconclusive
from infraforge.judging import judge
from infraforge.workloads.register import twin

pytestmark = pytest.mark.control("SOC2-PI1.5", "NIST-SI-7")

LONG_AGO, FAR_AHEAD = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
REFUSED, DONE = "refused (412)", "done"
NOTHING_NEW, ALL_OF_IT = "not modified (304)", "full content"


def test_a_project_is_changed_only_if_its_condition_holds(developer, project, evidence):
    """A project update with a condition takes effect if the condition holds, else it gets 412."""
    place = f"/api/projects/{project.id}"
    old = ask(developer, "GET", place).headers["ETag"]
    developer.update_project(project.id, "changed meanwhile")
    outcomes, declared = {}, {}
    for header, value, wanted in (
        ("If-Match", old, REFUSED),
        ("If-Match", '"nonsense"', REFUSED),
        ("If-Match", "W/" + ask(developer, "GET", place).headers["ETag"], REFUSED),
        ("If-None-Match", "*", REFUSED),
        ("If-Unmodified-Since", LONG_AGO, REFUSED),
        ("If-Match", "*", DONE),
        ("If-Unmodified-Since", FAR_AHEAD, DONE),
        ("If-None-Match", '"nonsense"', DONE),
    ):
        declared[header, value] = wanted
        answer = ask(developer, "PUT", place, json={"name": "again"}, headers={header: value})
        outcomes[header, value] = outcome(answer)
    now = ask(developer, "GET", place).headers["ETag"]
    outcomes["If-Match", "as it is"], declared["If-Match", "as it is"] = (
        outcome(ask(developer, "PUT", place, json={"name": "again"}, headers={"If-Match": now})),
        DONE,
    )
    outcomes["DELETE", "as it was"], declared["DELETE", "as it was"] = (
        outcome(ask(developer, "DELETE", place, headers={"If-Match": now})),
        REFUSED,
    )
    judge(outcomes, declared, evidence)
    assert developer.read_project(project.id)[0].name == "again"


def test_a_file_is_replaced_only_if_its_condition_holds(developer, project, evidence):
    """A conditional upload or deletion takes effect only if the file is as the condition says."""
    place = f"/api/projects/{project.id}/files/notes.txt"
    outcomes, declared = {}, {}

    def tried(what, wanted, method, value, **headers):
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = ask(developer, method, place, data=value, headers=names)
        outcomes[what, method], declared[what, method] = outcome(answer), wanted
        return answer

    def kept():
        there = ask(developer, "GET", place)
        return there.status_code, there.content

    tried("If-Match: * where nothing is", REFUSED, "PUT", b"x", If_Match="*")
    tried("If-None-Match: * where nothing is", DONE, "PUT", b"first", If_None_Match="*")
    first = ask(developer, "GET", place).headers["ETag"]
    for method in ("PUT", "DELETE"):
        tried("If-None-Match: * where something is", REFUSED, method, b"x", If_None_Match="*")
        tried("If-Match of another", REFUSED, method, b"x", If_Match='"nonsense"')
        tried("If-Unmodified-Since long ago", REFUSED, method, b"x", If_Unmodified_Since=LONG_AGO)
    assert kept() == (200, b"first")
    tried("If-Match as it is", DONE, "PUT", b"second", If_Match=first)
    developer.put_file(project.id, "notes.txt", b"first")  # the same bytes, but a new upload
    tried("If-Match as it was", REFUSED, "PUT", b"third", If_Match=first)
    assert kept() == (200, b"first")
    now = ask(developer, "GET", place).headers["ETag"]
    tried("If-Match as it is", DONE, "DELETE", None, If_Match=now)
    judge(outcomes, declared, evidence)


def test_only_one_of_concurrent_create_only_uploads_is_stored(developer, project, evidence):
    """Of concurrent uploads with `If-None-Match: *` one is stored, and all others get 412."""
    told, clients = [], 3
    for n in range(8):
        place = f"{developer.origin}/api/projects/{project.id}/files/{n}"
        begun = threading.Barrier(clients, timeout=20)
        with ThreadPoolExecutor(clients) as pool:
            answers = [pool.submit(first_upload, twin(developer), place, begun) for _ in range(3)]
            told.append(sorted(answer.result() for answer in answers))
    evidence.attach("\n".join(map(str, told)))
    # a round with an upload that was rejected (too many at once) or got no answer proves nothing
    judged = [statuses for statuses in told if set(statuses) <= {201, 412}]
    if len(judged) < len(told) / 2:
        raise Inconclusive(f"too few uploads got 201 or 412: {told}")
    assert [statuses for statuses in told if statuses.count(201) > 1] == []
    assert [statuses for statuses in judged if statuses != [201, 412, 412]] == []


def test_unchanged_content_is_not_sent_again(developer, project, evidence):
    """A read with If-None-Match gets 304 without a body if the ETag matches, else the content."""
    developer.put_file(project.id, "a.txt", b"content")
    base = f"/api/projects/{project.id}"
    outcomes, declared = {}, {}
    for path in (base, f"{base}/files", f"{base}/files/a.txt", "/api/me"):
        first = ask(developer, "GET", path)
        tag = first.headers.get("ETag", "")
        for what, header, value, wanted in (
            ("the same", "If-None-Match", tag, NOTHING_NEW),
            ("the same, weakly", "If-None-Match", f'"x", W/{tag}', NOTHING_NEW),
            ("another", "If-None-Match", '"x"', ALL_OF_IT),
            ("wanted as it is", "If-Match", tag, ALL_OF_IT),
            ("wanted as it is not", "If-Match", '"x"', REFUSED),
        ):
            answer = ask(developer, "GET", path, headers={header: value})
            row = path.replace(project.id, "ID")
            outcomes[row, what], declared[row, what] = read(answer, first.content), wanted
    judge(outcomes, declared, evidence)


def test_a_range_request_returns_exactly_that_range(developer, project):
    """A range request returns those bytes of that upload, or 416 beyond the end of the file."""
    data = secrets.token_bytes(300_000)
    developer.put_file(project.id, "data.bin", data)
    place = f"/api/projects/{project.id}/files/data.bin"
    tag = ask(developer, "GET", place).headers["ETag"]
    for wanted, start, end in (("bytes=0-0", 0, 1), ("bytes=99999-", 99_999, 300_000),
                               ("bytes=-7", 299_993, 300_000)):  # fmt: skip
        answer = ask(developer, "GET", place, headers={"Range": wanted, "If-Range": tag})
        assert (answer.status_code, answer.content) == (206, data[start:end]), wanted
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/300000"
    other = ask(developer, "GET", place, headers={"Range": "bytes=0-0", "If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, data)
    beyond = ask(developer, "GET", place, headers={"Range": "bytes=300000-"})
    assert beyond.status_code == 416


def ask(client, method, path, **rest):
    return client.session.ask(method, path, **rest)


def first_upload(client, url, begun):
    """The status of an upload that ends only after all have begun; 0 if there was no response."""

    def body():
        yield secrets.token_bytes(1000)
        with contextlib.suppress(threading.BrokenBarrierError):
            begun.wait()  # every upload passes the first check before any of them is complete
        yield b"the end"

    told = {"headers": {"If-None-Match": "*"}, "verify": client.session.verify, "timeout": 60}
    try:
        return client.session.put(url, data=body(), **told).status_code
    except requests.RequestException:
        return 0


def outcome(answer):
    if answer.status_code == 412:
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        return REFUSED
    return DONE if answer.ok else f"answered {answer.status_code}"


def read(answer, content):
    if answer.status_code == 304:
        return NOTHING_NEW if not answer.content else "304 with a body"
    if answer.status_code == 200:
        return ALL_OF_IT if answer.content == content else "something else"
    return outcome(answer)
