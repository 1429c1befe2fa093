"""Sign-in: who gets in, who is denied, and what a denial reveals."""

import html
import urllib.parse
import uuid
from datetime import UTC, datetime, timedelta

import allure
import pytest

from infraforge.checkers import cells_match
from infraforge.components.vault import Vault
from infraforge.probes.sign_ins import DENIED, LET_IN, sign_ins
from infraforge.table import Table
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient, Me
from infraforge.workloads.front_door import denies, local, seen_from_outside

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2"),
]

ELSEWHERE = (
    "https://evil.example/",
    "http://127.0.0.1:8443/",
    "//evil.example/",
    "/\\evil.example/",
    "/\t/evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
)


@pytest.mark.parametrize(
    ("name", "role"), [("ada", "admin"), ("devon", "developer"), ("vera", "viewer")]
)
def test_right_password_leads_to_the_dashboard(front_door, people, evidence, name, role):
    """The right password leads to the dashboard, signed in as that person in that role."""
    person = people.known(name)
    visitor = front_door.sign_in(person.name, person.password)
    page = visitor.ask("GET", "/")
    me = BackendClient(visitor, front_door.origin).me()
    evidence.attach(str(me), dashboard=page.text)
    assert page.headers["Content-Type"].startswith("text/html")
    assert me == Me(person.name, person.email, person.groups, role)


def test_denials_look_alike(front_door, people, evidence):
    """Denials for a wrong password, an unknown user and a disabled user are indistinguishable."""
    person, disabled = people.make("developer"), people.make("developer", disabled=True)
    former = people.known("former")
    cases = {
        "wrong password": (person.name, f"{person.password}x"),
        "password in other case": (person.name, person.password.swapcase()),
        "another's password": (person.name, disabled.password),
        "unknown user": (f"nobody-{uuid.uuid4().hex[:8]}", person.password),
        "disabled user": (disabled.name, disabled.password),
        "disabled user, wrong password": (disabled.name, person.password),
        "somebody who left": (former.name, former.password),
    }
    front_door.sign_in(person.name, person.password)  # this must not make other passwords work
    answers = {case: front_door.begin().post(*given) for case, given in cases.items()}
    views = {case: seen_from_outside(answer) for case, answer in answers.items()}
    evidence.attach(views)
    let_in = [case for case, answer in answers.items() if not denies(answer)]
    assert not let_in, f"not denied: {', '.join(let_in)}"
    assert len(set(views.values())) == 1, "denials differ; see the attached views"
    front_door.sign_in(person.name, person.password)  # control: the right password still works


def test_an_impossible_user_name_is_explained(platform, front_door, people):
    """A name that no user can have is rejected for its characters, not as a wrong password."""
    person = people.make("developer")
    front_door.sign_in(person.name, person.password)
    names = [f"login/{person.name}", f"{person.name}?", f"{person.name}\u200b", "a" * 65]
    told = "names here have letters, digits"
    if platform.profile.identity.method == "userpass":
        names += ["müller", "o'brien", "ada@example"]  # in a directory there may be such people
        told = "letters a to z without accents"
    for name in names:
        answer = front_door.begin().post(name, person.password)
        assert denies(answer), ascii(name)
        assert "do not match" not in answer.text
        assert told in html.unescape(answer.text)


def test_denials_are_in_vaults_audit_log(platform, front_door, people, evidence):
    """Vault's audit log records every denied sign-in under the name that was entered."""
    since = datetime.now(UTC) - timedelta(minutes=1)  # the names are new, so no older entry matches
    person, disabled = people.make("viewer"), people.make("viewer", disabled=True)
    unknown = f"nobody-{uuid.uuid4().hex[:8]}"
    for name, password in (
        (person.name, "wrong"),
        (disabled.name, disabled.password),
        (unknown, "any"),
    ):
        front_door.begin().post(name, password)
    front_door.sign_in(person.name, person.password)

    def told():
        by_name = sign_ins(Vault().audit_lines(platform.site, since))
        return {name: by_name.get(name, []) for name in (person.name, disabled.name, unknown)}

    wait_until(
        lambda: LET_IN in told()[person.name],
        seconds(20),
        every=1.0,
        what="the audit log has the last sign-in",
        broken=True,
    )
    trail = told()
    evidence.attach(trail)
    expected = {person.name: [DENIED, LET_IN], disabled.name: [DENIED], unknown: [DENIED]}
    assert trail == expected, f"the audit log has {trail}"


def test_sign_in_returns_to_the_requested_page(front_door, people):
    """After sign-in the user reaches the page requested before it."""
    person, path = people.known("vera"), "/projects?tab=files"
    visitor = front_door.anonymous()
    start = local(front_door.origin, visitor.ask("GET", path))
    assert start, f"{path} does not redirect to a sign-in"
    attempt = front_door.enter(start, visitor)
    answer = attempt.follow(attempt.submit(person.name, person.password).url)
    assert local(front_door.origin, answer) == path


def test_sign_in_never_redirects_to_another_host(front_door, people, evidence):
    """An address of another host, injected into a sign-in, is never its target (open redirect)."""
    person = people.make("viewer")
    cells = {}
    for address in ELSEWHERE:
        cells["asked for", address] = end(front_door, person, asked=address)
        cells["put into the state", address] = end(front_door, person, in_state=address)
    observed, declared = Table(cells), Table(dict.fromkeys(cells, "here"))
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()


def test_the_front_door_never_redirects_to_another_host(front_door, people, evidence):
    """No `rd` parameter and no Host header makes the front door redirect to another host."""
    person = people.make("viewer")
    signed_in = front_door.sign_in(person.name, person.password)
    cells = {}
    for address in ELSEWHERE:
        asked = urllib.parse.quote(address, safe="")
        for path in ("/oauth2/start?rd=", "/oauth2/sign_in?rd=", "/?rd=", "/login/authorize?rd="):
            for who, visitor in (("nobody", front_door.anonymous()), ("somebody", signed_in)):
                answer = visitor.ask("GET", path + asked)
                cells[f"{who}: {path}", address] = leads(front_door, answer)
        leaving = front_door.sign_in(person.name, person.password)
        answer = leaving.ask("GET", "/oauth2/sign_out?rd=" + asked)
        cells["leaving: /oauth2/sign_out?rd=", address] = leads(front_door, answer)
        plain = front_door.anonymous().ask("GET", front_door.plain_origin + "/?rd=" + asked)
        cells["in clear: /?rd=", address] = leads(front_door, plain)
    for host in ("evil.example", "127.0.0.1:8443.evil.example", "evil.example@127.0.0.1"):
        for path in ("/", "/api/me", "/oauth2/start?rd=/", "/oauth2/sign_out?rd=/"):
            answer = front_door.anonymous().ask("GET", path, headers={"Host": host})
            cells[f"named another host: {path}", host] = leads(front_door, answer)
    observed, declared = Table(cells), Table(dict.fromkeys(cells, "nowhere else"))
    verdict = cells_match(observed, declared)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()


def leads(front_door, answer):
    """`nowhere else`, or the address on another host that the response redirects to."""
    location = answer.headers.get("Location", "")
    return "nowhere else" if not location or local(front_door.origin, answer) else location


def end(front_door, person, asked="/", in_state=""):
    """Where a sign-in leads: `here`, an address elsewhere, or None if it was refused."""
    attempt = front_door.begin(asked)
    callback = attempt.submit(person.name, person.password)
    nonce = callback.state.split(":", 1)[0]
    url = callback.forged(state=f"{nonce}:{in_state}") if in_state else callback.url
    answer = attempt.follow(url)
    return "here" if local(front_door.origin, answer) else answer.headers.get("Location")
