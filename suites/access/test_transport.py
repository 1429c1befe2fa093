"""Traffic is encrypted with modern TLS, and browsers are told to stay on https."""

import re
import ssl
from functools import partial
from http.cookies import SimpleCookie

import pytest

from infraforge.judging import judge
from infraforge.probes import tls
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads import treatment

pytestmark = pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")

A_YEAR = 31536000
MODERN_CIPHER = re.compile(
    r"ECDHE-(ECDSA|RSA)-(AES128-GCM-SHA256|AES256-GCM-SHA384|CHACHA20-POLY1305)"
)
PATHS = ("/", "/projects?tab=files", "/api/me", "/login/authorize", "/oauth2/start?rd=/")


def test_plain_http_redirects_and_gives_nothing_away(front_door, evidence):
    """Every plain-http request is redirected to the same address on https, without any content."""
    cells = {}
    for method, path in (*(("GET", path) for path in PATHS), ("POST", "/api/projects")):
        answer = front_door.anonymous().ask(method, front_door.plain_origin + path)
        question, location = f"{method} {path}", answer.headers.get("Location", "nowhere")
        cells[question, "moved for good"] = answer.status_code in (301, 308)
        cells[question, "to"] = "https" if location == front_door.origin + path else location
        cells[question, "gives"] = len(answer.cookies) + (len(answer.content) > 512)
    wanted = {"moved for good": True, "to": "https", "gives": 0}
    declared = Table({(question, what): wanted[what] for question, what in cells})
    judge(Table(cells), declared, evidence)


def test_plain_http_redirects_to_no_other_host(front_door):
    """The redirect to https targets the platform's own origin, whatever the Host header says."""
    answer = front_door.anonymous().ask(
        "GET", front_door.plain_origin + "/", headers={"Host": "evil.example"}
    )
    assert answer.headers.get("Location") == front_door.origin + "/"


def test_every_answer_tells_browsers_to_stay_on_https(front_door, viewer, evidence):
    """Content, redirects and errors all carry Strict-Transport-Security of at least a year."""
    questions = {
        "dashboard": partial(viewer.session.ask, "GET", "/"),
        "API": partial(viewer.session.ask, "GET", "/api/me"),
        "not found": partial(viewer.session.ask, "GET", "/api/nothing/here"),
        "to login": partial(front_door.anonymous().ask, "GET", "/"),
        "no session": partial(front_door.anonymous().ask, "GET", "/api/me"),
        "start": partial(front_door.anonymous().ask, "GET", "/oauth2/start?rd=/"),
        "callback": partial(front_door.anonymous().ask, "GET", "/oauth2/callback"),
        "login page": partial(front_door.anonymous().ask, "GET", "/login/authorize"),
    }
    observed = Table(treatment.observe("kept on https", questions, strict_for_a_year))
    declared = Table(dict.fromkeys(observed, "a year or more"))
    judge(observed, declared, evidence)


def test_cookies_carry_every_protective_attribute(front_door, people, evidence):
    """Every sign-in cookie is Secure, HttpOnly, SameSite=Lax and bound to this host."""
    person = people.make("viewer")
    attempt = front_door.begin()
    started = front_door.anonymous().ask("GET", "/oauth2/start?rd=/")
    page = attempt.visitor.ask("GET", attempt.form.action)
    callback = attempt.follow(attempt.submit(person.name, person.password).url)
    cells = {}
    for answer in (started, page, callback):
        for cookie in set_cookies(answer):
            row = re.sub("_.{8}_csrf", "_csrf", cookie.key)
            cells[row, "Secure"] = bool(cookie["secure"])
            cells[row, "HttpOnly"] = bool(cookie["httponly"])
            cells[row, "SameSite"] = cookie["samesite"].lower()
            cells[row, "Domain"] = cookie["domain"]
    wanted = {"Secure": True, "HttpOnly": True, "SameSite": "lax", "Domain": ""}
    names = (
        "__Host-infraforge_session",
        "__Host-infraforge_session_csrf",
        "__Secure-infraforge_login",
    )
    declared = Table({(name, flag): wanted[flag] for name in names for flag in wanted})
    judge(Table(cells), declared, evidence)


def test_only_modern_tls_versions_are_accepted(front_door, evidence):
    """The front door accepts TLS 1.2 and 1.3 and refuses the older versions."""
    versions = {
        ssl.TLSVersion.TLSv1: tls.REFUSED,
        ssl.TLSVersion.TLSv1_1: tls.REFUSED,
        ssl.TLSVersion.TLSv1_2: tls.SPOKEN,
        ssl.TLSVersion.TLSv1_3: tls.SPOKEN,
    }
    observed = Table(
        {
            ("front door", version.name): tls.speaks(front_door.origin, front_door.ca_file, version)
            for version in versions
        }
    )
    declared = Table({("front door", version.name): said for version, said in versions.items()})
    judge(observed, declared, evidence)


def test_only_ciphers_with_forward_secrecy_and_integrity_are_accepted(front_door, evidence):
    """In TLS 1.2 the front door accepts only ECDHE with an AEAD cipher."""
    observed = Table(
        {
            ("front door", cipher): tls.speaks_cipher(front_door.origin, front_door.ca_file, cipher)
            for cipher in tls.ciphers()
        }
    )
    # only the modern ciphers that fit the certificate's key type can be accepted
    declared = Table(
        {
            place: said if said and MODERN_CIPHER.fullmatch(place[1]) else tls.REFUSED
            for place, said in observed.items()
        }
    )
    control(tls.SPOKEN in observed.values(), "the front door accepts none of our ciphers")
    control(len(observed) > 20, f"this machine can offer only {len(observed)} ciphers")
    judge(observed, declared, evidence)


def strict_for_a_year(answer):
    header = answer.headers.get("Strict-Transport-Security", "")
    age = re.search(r"max-age=(\d+)", header)
    return "a year or more" if age and int(age[1]) >= A_YEAR else header or "absent"


def set_cookies(answer):
    """The cookies that a response sets, without those that it clears."""
    lines = answer.raw.headers.getlist("Set-Cookie")
    return [cookie for line in lines for cookie in SimpleCookie(line).values() if cookie.value]
