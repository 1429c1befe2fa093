"""An abandoned, expired or duplicated sign-in leads to a fresh one and locks nobody out."""

import re

import pytest

from infraforge.checkers import cells_match
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.front_door import SESSION_COOKIE, Form, local

pytestmark = pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5")

ABANDONED = 30  # more sign-in cookies than the header limit of 8 KiB allows
KEPT = 8
STATE = re.compile(rf"{SESSION_COOKIE}_[\w-]{{8}}_csrf")


def test_abandoned_sign_ins_lock_nobody_out(front_door, people, evidence):
    """However many sign-ins a browser begins, it keeps few cookies and can finish the latest."""
    person = people.make("viewer")
    visitor = front_door.anonymous()
    statuses = []
    for _ in range(ABANDONED):
        begun = visitor.ask("GET", "/oauth2/start?rd=%2F")
        statuses.append(begun.status_code)
        if begun.status_code == 302:
            statuses.append(visitor.ask("GET", local(front_door.origin, begun)).status_code)
    kept = [cookie.name for cookie in visitor.cookies if STATE.fullmatch(cookie.name)]
    evidence.attach(kept=str(len(kept)), statuses=str(sorted(set(statuses))))
    assert statuses == [302, 200] * ABANDONED
    assert len(kept) <= KEPT
    attempt = front_door.begin("/", visitor)
    signed_in = attempt.finish(attempt.submit(person.name, person.password).url)
    assert BackendClient(signed_in, front_door.origin).me().user == person.name


def test_a_browser_with_too_many_cookies_is_told_to_drop_them(front_door, people, evidence):
    """A browser whose cookies exceed the limit is told to drop them and can sign in again."""
    person = people.make("viewer")
    visitor = front_door.anonymous()
    for number in range(ABANDONED):
        visitor.cookies.set(f"{SESSION_COOKIE}_{number:08}_csrf", "x" * 300, path="/", secure=True)
    answer = visitor.ask("GET", "/")
    evidence.attach(answer=f"{answer.status_code} {dict(answer.headers)}")
    assert answer.status_code == 431
    assert answer.headers.get("Clear-Site-Data") == '"cookies"'
    visitor.cookies.clear()  # as a browser does on that header
    attempt = front_door.begin("/", visitor)
    attempt.finish(attempt.submit(person.name, person.password).url)
    fine = visitor.ask("GET", "/")
    assert fine.status_code == 200
    assert "Clear-Site-Data" not in fine.headers


def test_an_old_login_form_leads_to_a_fresh_sign_in(front_door, people):
    """An expired login form leads to a fresh sign-in, which ends at the page first requested."""
    person, path = people.make("viewer"), "/projects?tab=files"
    attempt = front_door.begin(path)
    forget_the_sign_in(attempt.visitor)
    posted = attempt.post(person.name, person.password)
    assert posted.status_code == 303
    fresh = led_on(front_door, attempt.visitor, posted)
    answer = fresh.follow(fresh.submit(person.name, person.password).url)
    assert local(front_door.origin, answer) == path
    assert answer.cookies.get(SESSION_COOKIE)


def test_an_old_login_address_leads_to_a_fresh_sign_in(front_door, people):
    """A bookmarked login address leads a browser without that sign-in to a fresh one."""
    person = people.make("viewer")
    address = front_door.begin("/projects").form.action
    visitor = front_door.anonymous()
    fresh = led_on(front_door, visitor, visitor.ask("GET", address))
    answer = fresh.follow(fresh.submit(person.name, person.password).url)
    assert local(front_door.origin, answer) == "/projects"


def test_a_browser_that_keeps_no_cookies_is_told_so(front_door):
    """Without cookies there is no redirect loop: the second response says that they are needed."""
    address = front_door.begin("/").form.action
    first = front_door.anonymous().ask("GET", address)
    assert first.status_code == 303
    again = front_door.anonymous().ask("GET", local(front_door.origin, first))
    assert again.status_code == 403
    assert "cookies" in again.text
    assert Form.parse(again.text) is None


def test_two_session_cookies_are_refused(front_door, people, evidence):
    """A request with two session cookies acts as neither user; each cookie alone works."""
    cookies = {}
    for _ in range(2):
        person = people.make("developer")
        visitor = front_door.sign_in(person.name, person.password)
        cookies[person.name] = f"{SESSION_COOKIE}={visitor.cookies[SESSION_COOKIE]}"
    one, other = cookies.values()
    for cookie in (one, other):
        alone = front_door.send_as_is("/api/me", ("Cookie", cookie)).status
        control(alone == 200, f"a single session cookie gets {alone}")
    sent = {
        "one first": (("Cookie", f"{one}; {other}"),),
        "the other first": (("Cookie", f"{other}; {one}"),),
        "the same twice": (("Cookie", f"{one}; {one}"),),
        "with others between": (("Cookie", f"{one}; a=b; c=d;{other}"),),
        "in two lines": (("Cookie", one), ("Cookie", other)),
        "one that is none": (("Cookie", f"{SESSION_COOKIE}=x; {one}"),),
        "an empty one": (("Cookie", f"{SESSION_COOKIE}=; {one}"),),
    }
    cells = {
        (case, path): front_door.send_as_is(path, *headers).status
        for case, headers in sent.items()
        for path in ("/api/me", "/", "/api/projects/x/files/y", "/oauth2/sign_out")
    }
    observed, declared = Table(cells), Table(dict.fromkeys(cells, 400))
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()


def forget_the_sign_in(visitor):
    """Drop the cookies of sign-ins under way, as a browser does after 15 minutes."""
    for cookie in list(visitor.cookies):
        if STATE.fullmatch(cookie.name):
            visitor.cookies.clear(cookie.domain, cookie.path, cookie.name)


def led_on(front_door, visitor, answer):
    """The sign-in that a response leads to, by way of the address that checks for cookies."""
    assert answer.status_code == 303, answer.status_code
    assert local(front_door.origin, answer).startswith("/login/again?")
    start = visitor.ask("GET", local(front_door.origin, answer))
    assert start.status_code == 303, start.status_code
    return front_door.enter(local(front_door.origin, start), visitor)
