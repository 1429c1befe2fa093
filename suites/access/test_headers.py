"""Security headers are on every response, and the dashboard works under its content policy."""

import pytest

from infraforge.checkers import cells_match
from infraforge.probes.policy import weaknesses
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads import dashboard

pytestmark = pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.26")

REQUIRED = {
    "X-Content-Type-Options": ("nosniff",),
    "Strict-Transport-Security": ("max-age=",),
    "Cache-Control": ("no-store",),
}
OF_PAGES = {"Referrer-Policy": ("no-referrer",), "Cross-Origin-Opener-Policy": ("same-origin",)}


def test_every_answer_carries_the_security_headers(front_door, viewer, evidence):
    """Every page, API response, problem and redirect carries the required security headers."""
    stranger, session = front_door.anonymous(), viewer.session
    attempt = front_door.begin()
    pages = {
        "dashboard": session.ask("GET", "/"),
        "login page": attempt.visitor.ask("GET", attempt.form.action),
    }
    answers = {
        **pages,
        "API": session.ask("GET", "/api/me"),
        "no such project": session.ask("GET", "/api/projects/" + "0" * 32),
        "refused": session.ask("GET", "/api/audit"),
        "no session": stranger.ask("GET", "/api/me"),
        "to login": stranger.ask("GET", "/"),
        "not found": stranger.ask("GET", "/oauth2/nothing"),
        "too large": session.ask("POST", "/api/projects", data=b"a" * 2_000_000),
    }
    cells = {}
    for name, answer in answers.items():
        for header, words in {**REQUIRED, **(OF_PAGES if name in pages else {})}.items():
            value = answer.headers.get(header, "")
            cells[name, header] = "as required" if all(w in value for w in words) else value
        left_open = weaknesses(answer.headers.get("Content-Security-Policy", ""))
        cells[name, "policy"] = "; ".join(left_open) or "as required"
        server = answer.headers.get("Server", "")
        version = any(letter.isdigit() for letter in server)
        cells[name, "Server"] = server if version else "as required"
    observed, declared = Table(cells), Table(dict.fromkeys(cells, "as required"))
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()


def test_the_dashboard_works_under_its_policy(platform, people, project, evidence):
    """In Chromium no page violates the policy, and an injected script is blocked and reported."""
    person = people.known("ada")
    with dashboard.signed_in(platform, person) as browser:
        control(browser.text("#me-user") == person.name, f"{person.name} is not signed in")
        said = browser.complaints()
        for path in ("/", f"/projects/{project.id}", "/audit", "/nothing/here"):
            browser.open(platform.origin + path)
            browser.text("h1")
            said += browser.complaints()
        evidence.attach(console="\n".join(said) or "nothing")
        browser.script(
            "const s = document.createElement('script'); s.textContent = 'window.slipped = 1';"
            "document.body.append(s)"
        )
        slipped, heard = browser.script("return window.slipped"), browser.complaints()
        evidence.attach(heard="\n".join(heard), page=browser.screenshot())
    assert slipped is None
    control(dashboard.violations(heard), "the browser did not report the planted violation")
    assert not dashboard.violations(said), said
