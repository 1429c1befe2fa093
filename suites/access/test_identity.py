"""A user's identity and rights come from the session and from nothing else."""

import json

import allure
import pytest

from infraforge.judging import judge
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads import treatment

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.5.15", "NIST-AC-3"),
]

NAMES = (
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Subject",
    "X-Forwarded-Preferred-Username",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Remote-User",
    "Remote-User",
    "X-User",
    "X-Groups",
)
AS_ADA = {"User": "ada", "Username": "ada", "Email": "ada@infraforge.example", "Groups": "admin"}
SPELLINGS = {
    "as documented": lambda name: name,
    "lower case": str.lower,
    "upper case": str.upper,
    "underscores": lambda name: name.replace("-", "_"),
    "one underscore": lambda name: "_".join(name.rsplit("-", 1)),
    "blank before the colon": lambda name: f"{name} ",
}
OTHER_WAYS = {
    "basic authorization": (("Authorization", "Basic YWRhOmFkYQ=="),),
    "bearer token": (("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."),),
    "another path": (("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")),
    "another host": (("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http")),
    "from inside": (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "10.244.0.1")),
    "hop by hop": (("Connection", "close, X-Forwarded-User, X-Forwarded-Groups"),),
    "another method": (("X-HTTP-Method-Override", "OPTIONS"),),
    "already answered": (("X-Auth-Request-Redirect", "/"), ("Gap-Auth", "ada")),
}
REFUSED = "refused"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_forged_identity_headers_sign_nobody_in(front_door, evidence, spelling):
    """Without a session, headers that name a user and groups have no effect."""
    every = forged(SPELLINGS[spelling])
    ways = {"all at once": every} | {header[0]: (header,) for header in every}
    if spelling == "as documented":
        ways |= OTHER_WAYS
    answers = {way: front_door.send_as_is("/api/me", *headers) for way, headers in ways.items()}
    observed = Table({("nobody", way): treatment.of_hidden(a) for way, a in answers.items()})
    judge(observed, Table(dict.fromkeys(observed, treatment.NO_CONTENT)), evidence)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_forged_identity_headers_do_not_change_the_user(front_door, people, evidence, spelling):
    """With a viewer's session, forged headers change neither the user nor the user's rights."""
    person = people.known("vera")
    visitor = front_door.sign_in(person.name, person.password)
    cookie = ("Cookie", visitor.cookie_header())
    plain = who(front_door.send_as_is("/api/me", cookie))
    control(plain == "vera, viewer", f"without forged headers the user is {plain}")
    ways = {"all at once": forged(SPELLINGS[spelling]), **OTHER_WAYS}
    cells = {}
    for way, headers in ways.items():
        cells[way, "is"] = who(front_door.send_as_is("/api/me", cookie, *headers))
        audit = front_door.send_as_is("/api/audit", cookie, *headers)
        cells[way, "audit log"] = treatment.of_hidden(audit)
    observed = Table(cells)
    declared = {(way, "audit log"): treatment.NO_CONTENT for way in ways}
    # the ingress may refuse such a request, but must never take it for another user's
    declared |= {
        (way, "is"): REFUSED if cells[way, "is"] == REFUSED else "vera, viewer" for way in ways
    }
    judge(observed, Table(declared), evidence)


def who(answer):
    """The user and role that the backend sees."""
    if answer.status == 400:
        return REFUSED
    me = json.loads(answer.body) if answer.status == 200 else {}
    return f"{me.get('user')}, {me.get('role')}" if me else str(answer.status)


def forged(spell):
    """Headers that claim to be ada, the admin, under every name that a component might trust."""
    return tuple((spell(name), AS_ADA.get(name.rsplit("-", 1)[-1], "ada")) for name in NAMES)
