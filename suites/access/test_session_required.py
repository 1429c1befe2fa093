"""Without a session the front door gives nothing away."""

from functools import partial

import allure
import pytest

from infraforge import judging
from infraforge.workloads import treatment

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.5.15", "NIST-AC-3"),
]

PAGES = (
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/index.html"),
    ("GET", "/projects"),
    ("GET", "/projects/42?tab=files"),
    ("GET", "/assets/index.js"),
    ("GET", "/favicon.ico"),
    ("GET", "/nothing/here"),
    ("GET", "/metrics"),
    ("GET", "/ping"),
    ("GET", "/readyz"),
    ("GET", "/login"),
    ("GET", "/API/me"),
)
API = (
    ("GET", "/api/me"),
    ("HEAD", "/api/me"),
    ("GET", "/api/health"),
    ("GET", "/api/audit"),
    ("GET", "/api/projects"),
    ("POST", "/api/projects"),
    ("GET", "/api/projects/00000000-0000-4000-8000-000000000000"),
    ("PUT", "/api/projects/00000000-0000-4000-8000-000000000000"),
    ("DELETE", "/api/projects/00000000-0000-4000-8000-000000000000"),
    ("GET", "/api/projects/00000000-0000-4000-8000-000000000000/files"),
    ("GET", "/api/projects/00000000-0000-4000-8000-000000000000/files/a.txt"),
    ("PUT", "/api/projects/00000000-0000-4000-8000-000000000000/files/a.txt"),
    ("DELETE", "/api/projects/00000000-0000-4000-8000-000000000000/files/a.txt"),
    ("OPTIONS", "/api/projects"),
    ("PATCH", "/api/projects"),
    ("GET", "/api/nothing/here"),
)
OPEN_TO_VIEWERS = (("GET", "/api/me"), ("GET", "/api/health"), ("GET", "/api/projects"))
ODD_SPELLINGS = (
    "//api/me",
    "/api//me",
    "/./api/me",
    "/api/./me",
    "/api/%6de",
    "/%61pi/me",
    "/api%2fme",
    "/api/me/",
    "/api/me;x=1",
    "/api/me%00",
    "/api/me%20",
    "/api/me?_=/login/",
    "/login/../api/me",
    "/login/..%2fapi/me",
    "/login/%2e%2e/api/me",
    "/login/static/..%2f..%2fapi/me",
    "/oauth2/../api/me",
    "/oauth2/start/../../api/me",
    "/oauth2/static/..%2f..%2fapi%2fme",
    "/healthz/../api/me",
    "https://127.0.0.1/api/me",
)
NOT_FROM_OUTSIDE = (
    "/_auth",
    "/_store",
    "/oauth2/auth",
    "/oauth2/auth/",
    "/oauth2//auth",
    "/oauth2/%61uth",
    "/oauth2/static/../auth",
    "/oauth2/",
    "/oauth2/metrics",
    "/oauth2/ping",
)


def test_every_page_leads_to_login(front_door, viewer, evidence):
    """Without a session every page redirects to the login, and sign-in returns to that page."""
    observed = asked("nobody", front_door.anonymous(), PAGES, treatment.of_page) | asked(
        "a viewer", viewer.session, PAGES[:1], treatment.of_page
    )
    control = every("a viewer", PAGES[:1], treatment.CONTENT)
    judge(observed, every("nobody", PAGES, treatment.TO_LOGIN), control, evidence)


def test_every_api_call_gets_401(front_door, viewer, evidence):
    """Without a session every API call gets 401 and a problem document, whatever its method."""
    observed = asked("nobody", front_door.anonymous(), API, treatment.of_api) | asked(
        "a viewer", viewer.session, OPEN_TO_VIEWERS, treatment.of_api
    )
    control = every("a viewer", OPEN_TO_VIEWERS, treatment.CONTENT)
    judge(observed, every("nobody", API, treatment.API_401), control, evidence)


def test_odd_spellings_of_a_path_open_nothing(front_door, viewer, evidence):
    """No spelling of a protected path bypasses the session check."""
    sent = {target: partial(front_door.send_as_is, target) for target in ODD_SPELLINGS}
    observed = treatment.observe("nobody", sent, treatment.of_hidden)
    declared = {("nobody", target): treatment.NO_CONTENT for target in ODD_SPELLINGS}
    plain = asked("a viewer", viewer.session, OPEN_TO_VIEWERS, treatment.of_hidden)
    control = every("a viewer", OPEN_TO_VIEWERS, treatment.CONTENT)
    judge(observed | plain, declared, control, evidence)


def test_internal_auth_endpoints_are_closed_to_clients(front_door, viewer, evidence):
    """The ingress' internal authentication endpoints are closed to clients, session or not."""
    cookie = ("Cookie", viewer.session.cookie_header())
    rows = {"nobody": (), "a viewer": (cookie,)}
    observed, declared = {}, {}
    for row, headers in rows.items():
        sent = {path: partial(front_door.send_as_is, path, *headers) for path in NOT_FROM_OUTSIDE}
        observed |= treatment.observe(row, sent, treatment.of_hidden)
        declared |= {(row, path): treatment.NO_CONTENT for path in NOT_FROM_OUTSIDE}
    # the same cookie, sent the same way, opens what a viewer may read
    sent = {"/api/me": partial(front_door.send_as_is, "/api/me", cookie)}
    observed |= treatment.observe("a viewer", sent, treatment.of_hidden)
    judge(observed, declared, {("a viewer", "/api/me"): treatment.CONTENT}, evidence)


def asked(row, visitor, requests, how):
    questions = {" ".join(request): partial(visitor.ask, *request) for request in requests}
    return treatment.observe(row, questions, how)


def every(row, requests, value):
    return {(row, " ".join(request)): value for request in requests}


def judge(observed, declared, control, evidence):
    judging.judge(observed, declared | control, evidence, controls=control)
