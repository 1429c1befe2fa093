"""Cross-site requests change nothing, even with a valid session (CSRF)."""

import urllib.parse
import uuid

import allure
import pytest

from infraforge.judging import judge
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads.browser import chromium
from infraforge.workloads.front_door import SESSION_COOKIE

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.26"),
]

REFUSED, DONE = "refused", "done"
FOREIGN = {
    "another site's origin": {"Origin": "https://evil.example"},
    "an opaque origin": {"Origin": "null"},
    "our host over http": {"Origin": "http://127.0.0.1"},
    "a host that begins like ours": {"Origin": "{origin}.evil.example"},
    "Sec-Fetch-Site alone": {"Sec-Fetch-Site": "cross-site"},
    "another port of our host": {"Sec-Fetch-Site": "same-site"},
    "both": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "our origin, but cross-site": {"Origin": "{origin}", "Sec-Fetch-Site": "cross-site"},
    "another origin, claimed as ours": {
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "same-origin",
    },
}
OWN = {
    "no browser at all": {},
    "our own page": {"Origin": "{origin}", "Sec-Fetch-Site": "same-origin"},
    "our own page, older browser": {"Origin": "{origin}"},
    "a form that sends no referrer": {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    "the address bar": {"Sec-Fetch-Site": "none"},
}


def test_changes_from_other_sites_are_refused(front_door, developer, project, evidence):
    """The platform refuses well-formed changes from another site and accepts its own pages'."""
    base = f"/api/projects/{project.id}"
    developer.put_file(project.id, "stays.txt", b"as it was")
    changes = {
        "create": ("POST", "/api/projects", {"json": {"name": f"crossed {uuid.uuid4().hex}"}}),
        "change": ("PUT", base, {"json": {"name": "crossed"}}),
        "upload": ("PUT", f"{base}/files/crossed.txt", {"data": b"crossed"}),
        "delete a file": ("DELETE", f"{base}/files/stays.txt", {}),
        "delete": ("DELETE", base, {}),
    }
    cells = {}
    for case, headers in FOREIGN.items():
        for change, (method, path, rest) in changes.items():
            answer = asked(developer.session, method, path, headers, **rest)
            kind = answer.headers.get("Content-Type", "")
            refused = answer.status_code == 403 and kind.startswith("application/problem+json")
            cells[case, change] = REFUSED if refused else f"{answer.status_code} {kind}"
    for case, headers in OWN.items():
        answer = asked(developer.session, "POST", "/api/projects", headers, json={"name": "own"})
        cells[case, "create"] = DONE if answer.status_code == 201 else answer.status_code
        if answer.status_code == 201:
            developer.delete_project(answer.json()["id"])
    wanted = {(case, change): DONE if case in OWN else REFUSED for case, change in cells}
    judge(Table(cells), Table(wanted), evidence)
    assert developer.read_project(project.id)[0] == project
    assert [file.name for file in developer.files(project.id)[0]] == ["stays.txt"]


def test_another_site_cannot_sign_a_user_out(front_door, people, evidence):
    """Sign-out uses GET, yet a request from another site does not end the session."""
    person = people.make("viewer")
    cells = {}
    for case, headers in {**FOREIGN, **OWN}.items():
        if case in FOREIGN and "Sec-Fetch-Site" not in headers:
            continue  # browsers send no Origin with a GET
        visitor = front_door.sign_in(person.name, person.password)
        copied = visitor.twin()
        asked(visitor, "GET", "/oauth2/sign_out", headers)
        after = copied.ask("GET", "/api/me").status_code
        cells[case, "sign out"] = {200: REFUSED, 401: DONE}.get(after, after)
    claimed = "another origin, claimed as ours"
    wanted = {
        (case, change): REFUSED if case in FOREIGN and case != claimed else DONE
        for case, change in cells
    }
    judge(Table(cells), Table(wanted), evidence)


def test_no_other_site_may_read_answers(front_door, viewer, evidence):
    """Neither responses nor preflight responses grant another origin access (CORS)."""
    cells = {}
    for origin in ("https://evil.example", "null", front_door.origin):
        for method, path in (("GET", "/api/me"), ("OPTIONS", "/api/projects"), ("GET", "/")):
            answer = viewer.session.ask(
                method,
                path,
                headers={"Origin": origin, "Access-Control-Request-Method": "PUT"},
            )
            control(answer.status_code < 500, f"{method} {path}: {answer.status_code}")
            allowed = [name for name in answer.headers if name.lower().startswith("access-control")]
            cells[origin, f"{method} {path}"] = ", ".join(allowed) or "nothing allowed"
    judge(Table(cells), Table(dict.fromkeys(cells, "nothing allowed")), evidence)


def test_another_sites_page_cannot_use_a_session(platform, people, developer, evidence):
    """In Chromium, a signed-in user's click on another site's form or link is refused."""
    person, name = people.known("devon"), f"crossed {uuid.uuid4().hex}"
    with chromium(platform.ca_file) as browser:
        browser.open(platform.origin + "/oauth2/start?rd=/")
        browser.fill("#username", person.name)
        browser.fill("#password", person.password)
        browser.click("button[type=submit]")
        control(browser.text("#me-user") == person.name, f"{person.name} is not signed in")
        browser.open(foreign_page(platform.origin, name))
        browser.click("#send")
        form = arrived(browser)
        evidence.attach(form=browser.screenshot())
        browser.open(foreign_page(platform.origin, name))
        browser.click("#leave")
        link = arrived(browser)
        evidence.attach(link=browser.screenshot())
        browser.open(platform.origin + "/")
        assert browser.text("#me-user") == person.name, "another site's link ended the session"
        assert SESSION_COOKIE in browser.cookies()
    assert "page of another site" in form
    assert "page of another site" in link
    assert name not in {project.name for project in developer.projects()}


def arrived(browser):
    """The text of the page that the foreign one led to."""
    wait_until(
        lambda: not browser.url.startswith("data:"),
        seconds(15),
        what="the browser leaves the foreign page",
    )
    return browser.text("body")


def foreign_page(origin, name):
    """A page of no origin, with a form that posts JSON and a link to the sign-out address."""
    page = f"""<!doctype html>
<form method="post" enctype="text/plain" action="{origin}/api/projects">
<input name='{{"name": "{name}", "description": "' value='"}}'><button id="send">x</button></form>
<a id="leave" href="{origin}/oauth2/sign_out">y</a>"""
    return "data:text/html," + urllib.parse.quote(page)


def asked(visitor, method, path, headers, **rest):
    sent = {key: value.format(origin=visitor.origin) for key, value in headers.items()}
    return visitor.ask(method, path, headers=sent, **rest)
