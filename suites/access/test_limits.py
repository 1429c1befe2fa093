"""What is too large or too slow is refused within bounds, and holds up nobody else."""

import http.client
import ssl
import time
import urllib.parse

import pytest

from infraforge.checkers import cells_match
from infraforge.errors import Late
from infraforge.table import Table
from infraforge.verdict import control, in_time
from infraforge.workloads.trickle import trickle

pytestmark = [pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.20")]

KIB, MIB = 1024, 1024 * 1024
# What the front door states: a header within 10 s; no pause in a body longer than 15 s.
HEADER_SECONDS, BODY_SECONDS, MARGIN = 10.0, 15.0, 6.0
CONNECTIONS = 100
SOON = 5.0
REFUSED = "refused"


def test_headers_that_are_too_large_are_refused(front_door, viewer, evidence):
    """One long header, many of them, a long cookie, a long address: 4xx, and a short one is not."""
    cookie = ("Cookie", viewer.session.cookie_header())
    cases = {
        "one header of 16 KiB": ("/api/me", (("X-Long", "a" * 16 * KIB),)),
        "100 headers of 1 KiB": ("/api/me", tuple((f"X-{n}", "a" * KIB) for n in range(100))),
        "a cookie of 16 KiB": ("/api/me", (("Cookie", "x=" + "a" * 16 * KIB),)),
        "an address of 16 KiB": ("/api/me?" + "a" * 16 * KIB, ()),
        "a path of 16 KiB": ("/api/" + "a" * 16 * KIB, ()),
    }
    cells = {}
    for case, (target, headers) in cases.items():
        answer = front_door.send_as_is(target, cookie, *headers)
        cells[case, "answer"] = REFUSED if answer.status in (400, 414, 431) else answer.status
    fitting = front_door.send_as_is("/api/me", cookie, ("X-Long", "a" * 4 * KIB))
    control(fitting.status == 200, f"a request that fits is answered {fitting.status}")
    judge(Table(cells), Table(dict.fromkeys(cells, REFUSED)), evidence)


def test_bodies_that_are_too_large_are_refused(front_door, developer, project, evidence):
    """Announced or not, in JSON or as a file: 413 as a problem, and nothing of it is kept."""
    large = b'{"name": "' + b"a" * 2 * MIB + b'"}'
    path = f"/api/projects/{project.id}"
    json_type = {"Content-Type": "application/json"}
    session = developer.session
    answers = {
        "JSON of 2 MiB": session.ask("PUT", path, data=large, headers=json_type),
        "JSON of 100 KiB": session.ask("PUT", path, data=large[: 100 * KIB], headers=json_type),
        "JSON of 2 MiB in chunks": session.ask("PUT", path, data=pieces(large), headers=json_type),
    }
    cells = {
        (case, "answer"): problem(answer.status_code, answer.headers.get("Content-Type", ""))
        for case, answer in answers.items()
    }
    for case, length in {"a file of 101 MiB and a byte": 101 * MIB + 1, "of 4 EiB": 2**62}.items():
        cells[case, "answer"] = problem(*announced(front_door, session, f"{path}/files/x", length))
    judge(Table(cells), Table(dict.fromkeys(cells, "413 problem")), evidence)
    assert developer.read_project(project.id)[0] == project
    assert developer.files(project.id)[0] == []


@pytest.mark.exclusive
@pytest.mark.parametrize("what", ["headers a letter at a time", "bodies that never come"])
def test_slow_requests_are_ended_and_starve_nobody(front_door, developer, evidence, what):
    """A hundred of them at once: each is ended in time, and others are answered meanwhile."""
    cookie = developer.session.cookie_header()
    if what == "headers a letter at a time":
        begin, drop, bound = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a", HEADER_SECONDS
    else:
        head = (
            "POST /api/projects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: 1000\r\nCookie: {cookie}\r\n\r\n"
        )
        begin, drop, bound = head.encode(), b"", BODY_SECONDS
    answered, began = [], time.monotonic()

    def meanwhile():
        answer = developer.session.request("GET", "/api/me")
        answered.append((answer.status_code, answer.elapsed.total_seconds()))

    found = trickle(
        front_door.origin,
        front_door.ca_file,
        begin,
        drop,
        connections=CONNECTIONS,
        within=bound + MARGIN,
        meanwhile=meanwhile,
    )
    slowest = max(seconds for _, seconds in answered)
    evidence.attach(
        left=str(found.left),
        ended_after=f"{min(found.ended, default=0):.1f} … {max(found.ended, default=0):.1f} s",
        others=f"{len(answered)} answers, the slowest after {slowest:.3f} s",
    )
    control(min(found.ended, default=bound) > 1.0, "ended before they were slow")
    assert {status for status, _ in answered} == {200}
    if found.left:
        raise Late(f"{found.left} not ended within {bound + MARGIN:g} s", (began, time.monotonic()))
    in_time(slowest, SOON, "the slowest answer to others")


def pieces(data):
    for begin in range(0, len(data), 64 * KIB):
        yield data[begin : begin + 64 * KIB]


def announced(front_door, session, path, length):
    """Status and type of the answer to a body that is announced and not sent; what else came."""
    where = urllib.parse.urlsplit(front_door.origin)
    trust = ssl.create_default_context(cafile=str(front_door.ca_file))
    connection = http.client.HTTPSConnection(where.hostname, where.port, timeout=30, context=trust)
    try:
        connection.putrequest("PUT", path)
        connection.putheader("Cookie", session.cookie_header())
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", "")
    except TimeoutError:
        return "waited for", ""
    except (http.client.HTTPException, ConnectionError):
        return "closed without an answer", ""
    finally:
        connection.close()


def problem(status, kind):
    return f"{status} problem" if kind.startswith("application/problem+json") else f"{status}"


def judge(observed, declared, evidence):
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()
