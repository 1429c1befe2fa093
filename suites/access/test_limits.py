"""Oversized and slow requests are refused within bounds and do not starve other users."""

import http.client
import ssl
import time
import urllib.parse
from collections import Counter

import pytest
import requests

from infraforge.errors import Late
from infraforge.judging import judge
from infraforge.table import Table
from infraforge.verdict import control, in_time
from infraforge.wait import seconds, wait_until
from infraforge.workloads import http2
from infraforge.workloads.backend_client import ApiError
from infraforge.workloads.half_sent import half_sent
from infraforge.workloads.slow_reader import read_slowly
from infraforge.workloads.streams import Stream
from infraforge.workloads.trickle import trickle

pytestmark = [pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.20")]

KIB, MIB = 1024, 1024 * 1024
# The front door's documented limits: a header within 10 s, no pause in a body beyond 15 s.
HEADER_SECONDS, BODY_SECONDS, MARGIN = 10.0, 15.0, 6.0
CONNECTIONS = 100
SOON = 5.0
REFUSED = "refused"
# A session's parallel file transfers, and how long a piece of a response waits for its reader.
TRANSFERS, PIECE_SECONDS = 8, 20.0
READERS = 24
# More than the sockets on the way hold (tcp_rmem: 32 MiB, tcp_wmem: 4 MiB at most). An answer that
# they swallow whole is over for the ingress, and its place is another reader's.
LARGE = 64 * MIB
# Open connections per address, whether or not a request was sent on them.
OPEN, HALF_SENT = 1024, 1500
RESETS = 12_000
LINE = 8192


def test_oversized_headers_are_refused(front_door, viewer, evidence):
    """Headers, cookies and addresses beyond the limit get 4xx; a request below it is served."""
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
    control(fitting.status == 200, f"a request below the limit gets {fitting.status}")
    judge(Table(cells), Table(dict.fromkeys(cells, REFUSED)), evidence)


def test_oversized_bodies_are_refused(front_door, developer, project, evidence):
    """Oversized JSON and files get 413 as a problem document, and nothing of them is stored."""
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
@pytest.mark.parametrize("what", ["headers one byte at a time", "bodies that never arrive"])
def test_slow_requests_are_ended_and_starve_nobody(front_door, developer, evidence, what):
    """Each of a hundred slow requests is ended in time, and other users are served meanwhile."""
    cookie = developer.session.cookie_header()
    if what == "headers one byte at a time":
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

    slow = trickle(
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
        left=str(slow.left),
        ended_after=f"{min(slow.ended, default=0):.1f} … {max(slow.ended, default=0):.1f} s",
        others=f"{len(answered)} answers, the slowest after {slowest:.3f} s",
    )
    control(min(slow.ended, default=bound) > 1.0, "requests were ended before they were slow")
    assert {status for status, _ in answered} == {200}
    if slow.left:
        raise Late(
            f"{slow.left} requests not ended within {bound + MARGIN:g} s",
            (began, time.monotonic()),
        )
    in_time(slowest, SOON, "the slowest response to other users")


@pytest.mark.exclusive
def test_slow_readers_starve_nobody(front_door, developer, viewer, project, evidence):
    """While 24 clients read a file at 100 bytes a second, others still get pages and files."""
    content = Stream(LARGE, 7).read()
    developer.put_file(project.id, "large.bin", content)
    path = f"/api/projects/{project.id}/files/large.bin"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {developer.session.cookie_header()}\r\n\r\n"
    )
    others, files = Others(viewer.session, ("/api/me", "/api/projects")), []

    def meanwhile():
        others.ask()
        if not files:
            files.extend(whole(viewer, project))

    readers = read_slowly(
        front_door.origin,
        front_door.ca_file,
        request.encode(),
        readers=READERS,
        at_once=50,
        within=PIECE_SECONDS + 10,
        meanwhile=meanwhile,
    )
    wait_until(
        lambda: files or files.extend(whole(viewer, project)) or files,
        seconds(30),
        what="another user reads the file",
        broken=True,
    )
    statuses = Counter(reader.status for reader in readers)
    evidence.attach(readers=dict(statuses), others=others.told(), file=f"{len(files[0])} bytes")
    slow = [reader for reader in readers if reader.status == 200 and reader.bytes < LARGE]
    control(bool(slow), "no reader was slow")
    assert set(others.statuses) == {200}
    assert statuses[200] <= TRANSFERS
    assert files[0] == content
    in_time(others.slowest, SOON, "the slowest response to other users")


@pytest.mark.exclusive
def test_half_sent_requests_are_bounded_and_starve_nobody(platform, front_door, viewer, evidence):
    """One address can hold a bounded number of idle connections, and others still connect."""
    others = Others(viewer.session, ("/healthz",), fresh=front_door.anonymous)
    connections = half_sent(platform.site, HALF_SENT, hold=6, meanwhile=others.ask)
    evidence.attach(
        others=others.told(), opened=str(connections.opened), kept=str(connections.kept)
    )
    control(
        connections.opened == HALF_SENT,
        f"only {connections.opened} of {HALF_SENT} connections opened",
    )
    assert connections.kept <= OPEN
    assert set(others.statuses) == {200}
    control(connections.kept >= OPEN // 2, f"only {connections.kept} connections were kept open")
    in_time(others.slowest, SOON, "the slowest response to other users")


@pytest.mark.exclusive
def test_streams_reset_rapidly_are_bounded_and_starve_nobody(front_door, people, viewer, evidence):
    """An HTTP/2 connection can cancel a bounded number of requests; other users are served."""
    person = people.make("viewer")
    greedy = front_door.sign_in(person.name, person.password)
    cookie = (("cookie", greedy.cookie_header()),)
    others, done = Others(viewer.session, ("/api/me",)), []
    for _ in range(3):
        with http2.connected(front_door.origin, front_door.ca_file) as connection:
            # NGINX answers /healthz itself, so no other limit applies
            done.append(connection.reset_rapidly("/healthz", RESETS, cookie))
        others.ask()
    evidence.attach(taken_up=str(done), others=others.told())
    assert set(others.statuses) == {200}
    assert max(done) <= RESETS // 3
    in_time(others.slowest, SOON, "the slowest response to other users")


def test_http2_refuses_lines_too_long_for_http1(front_door, viewer, evidence):
    """A 9,000-character address or header gets 414 or 431, as a problem document or a page."""
    cookie, long = ("cookie", viewer.session.cookie_header()), "a" * (LINE + 800)
    cases = {
        "address": ("/api/me?" + long, ()),
        "user-agent": ("/api/me", (("user-agent", long),)),
        "accept": ("/api/me", (("accept", f"text/{long}"),)),
        "accept-language": ("/api/me", (("accept-language", long),)),
        "if-none-match": ("/api/me", (("if-none-match", f'"{long}"'),)),
        "range": ("/api/me", (("range", f"bytes=0-{'1' * len(long)}"),)),
        "cookie": ("/api/me", (("cookie", f"x={long}"),)),
        "content-type": ("/api/me", (("content-type", f"text/{long}"),)),
    }
    cells, declared = {}, {}
    with http2.connected(front_door.origin, front_door.ca_file) as connection:
        for case, (target, headers) in cases.items():
            status = 414 if case == "address" else 431
            answer = connection.get(target, (cookie, *headers))
            cells[case, "the API"] = problem(answer.status, answer.header("content-type"))
            declared[case, "the API"] = f"{status} problem"
            page = connection.get(target.replace("/api/me", "/"), (cookie, *headers))
            cells[case, "pages"] = (page.status, page.header("content-type").split(";")[0])
            declared[case, "pages"] = (status, "text/html")
        fits = connection.get("/api/me?" + "a" * (LINE - 100), (cookie, ("user-agent", "a" * 8000)))
    judge(Table(cells), Table(declared), evidence)
    assert fits.status == 200


class Others:
    """Another user's requests and their outcome. fresh: makes a session with a new connection."""

    def __init__(self, session, paths, fresh=None):
        self._session, self._paths, self._fresh = session, paths, fresh
        self.statuses, self.slowest = Counter(), 0.0

    def ask(self):
        for path in self._paths:
            began = time.monotonic()
            session = self._fresh() if self._fresh else self._session
            try:
                self.statuses[session.request("GET", path).status_code] += 1
            except requests.RequestException as error:
                self.statuses[type(error).__name__] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def told(self):
        return f"{dict(self.statuses)}, the slowest after {self.slowest:.3f} s"


def whole(client, project):
    """The large file's bytes in a list, or an empty list if the backend had no free reader."""
    try:
        return [client.get_file(project.id, "large.bin")]
    except ApiError as error:
        if error.status == 503:
            return []
        raise


def pieces(data):
    for begin in range(0, len(data), 64 * KIB):
        yield data[begin : begin + 64 * KIB]


def announced(front_door, session, path, length):
    """Status and content type of the response to a body that is announced but never sent.

    Without a response, a text in place of the status says what happened instead.
    """
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
        return "no response within 30 s", ""
    except (http.client.HTTPException, ConnectionError):
        return "closed without an answer", ""
    finally:
        connection.close()


def problem(status, kind):
    return f"{status} problem" if kind.startswith("application/problem+json") else f"{status}"
