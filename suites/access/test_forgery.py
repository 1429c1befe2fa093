"""Forged and replayed states, codes, forms and cookies are refused; genuine ones work."""

import allure
import pytest

from infraforge import judging
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads import treatment
from infraforge.workloads.front_door import SESSION_COOKIE
from infraforge.workloads.session_cookie import FORGERIES

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2"),
]

STATES = {
    "missing": lambda state: "",
    "not a state": lambda state: "0",
    "another": lambda state: "A" * 43 + ":/",
    "same beginning": lambda state: state[:8] + "A" * 35 + ":/",
    "without the page": lambda state: state.split(":", maxsplit=1)[0],
}
CODES = {
    "missing": lambda code: "",
    "another": lambda code: "A" * len(code),
    "first letter changed": lambda code: ("B" if code[0] == "A" else "A") + code[1:],
    "cut short": lambda code: code[:-1],
    "longer": lambda code: code + "A",
}
FORMS = {
    "missing": lambda seal: "",
    "not a seal": lambda seal: "0",
    "older": lambda seal: "1000000000." + seal.partition(".")[2],
    "signature changed": lambda seal: seal.partition(".")[0] + "." + "0" * 64,
}


def test_a_forged_state_is_refused(front_door, people, evidence):
    """A callback with a state that was not issued to this browser creates no session."""
    person = people.make("viewer")
    cells = {}
    for case, forge in STATES.items():
        attempt = front_door.begin()
        callback = attempt.submit(person.name, person.password)
        answer = attempt.follow(callback.forged(state=forge(callback.state)))
        cells[case, "the callback"] = treatment.of_callback(answer)
        cells[case, "the browser"] = session_of(attempt.visitor)
    front_door.sign_in(person.name, person.password)  # a genuine state works
    judge(Table(cells), evidence)


def test_a_forged_code_is_refused(front_door, people, evidence):
    """A code that Vault did not issue creates no session; the genuine code still works."""
    person = people.make("viewer")
    cells = {}
    for case, forge in CODES.items():
        attempt = front_door.begin()
        callback = attempt.submit(person.name, person.password)
        answer = attempt.follow(callback.forged(code=forge(callback.code)))
        cells[case, "the callback"] = treatment.of_callback(answer)
        cells[case, "the browser"] = session_of(attempt.visitor)
        attempt.finish(callback.url)  # Vault is up, so the refusal was about the code
    judge(Table(cells), evidence)


def test_an_authorization_code_works_once(front_door, people, evidence):
    """A callback that created a session creates no second one, even with the original cookies."""
    person = people.make("viewer")
    attempt = front_door.begin()
    callback = attempt.submit(person.name, person.password)
    before = attempt.visitor.twin()
    attempt.finish(callback.url)
    replays = {
        "cookies of before": before,
        "no cookies": front_door.anonymous(),
        "another's cookies": front_door.begin().visitor,
    }
    cells = {}
    for case, visitor in replays.items():
        answer = visitor.ask("GET", callback.url)
        cells[case, "the callback"] = treatment.of_callback(answer)
        cells[case, "the browser"] = session_of(visitor)
    judge(Table(cells), evidence)


def test_an_authorization_code_works_in_one_browser_only(front_door, people, evidence):
    """A stolen authorization code is useless in another browser's sign-in."""
    person = people.make("viewer")
    victim, thief = front_door.begin(), front_door.begin()
    stolen = victim.submit(person.name, person.password)
    own = thief.submit(person.name, person.password)
    cells = {}
    for case, url in {
        "the whole callback": stolen.url,
        "the code with a state of one's own": stolen.forged(state=own.state),
    }.items():
        cells[case, "the callback"] = treatment.of_callback(thief.follow(url))
        cells[case, "the browser"] = session_of(thief.visitor)
    thief.finish(own.url)  # the thief's own code still works
    judge(Table(cells), evidence)


def test_a_foreign_csrf_cookie_is_refused(front_door, people, evidence):
    """A state together with another sign-in's CSRF cookie creates no session."""
    person = people.make("viewer")
    victim, thief = front_door.begin(), front_door.begin()
    callback = victim.submit(person.name, person.password)
    (foreign,) = csrf_cookies(thief.visitor).values()
    (name,) = csrf_cookies(victim.visitor)
    answer = front_door.anonymous().ask(
        "GET", callback.url, headers={"Cookie": f"{name}={foreign}"}
    )
    observed = Table({("another's value", "the callback"): treatment.of_callback(answer)})
    victim.finish(callback.url)  # the same cookie with its own value is accepted
    judge(observed, evidence)


def test_a_forged_form_is_refused(front_door, people, evidence):
    """A login form not issued to this browser is refused, even with the right password."""
    person = people.make("viewer")
    attempt = front_door.begin()
    genuine = dict(attempt.form.hidden)
    data = {"username": person.name, "password": person.password}
    cells = {}
    for case, forge in FORMS.items():
        sent = data | {name: forge(value) for name, value in genuine.items()}
        answer = attempt.visitor.ask("POST", attempt.form.action, data=sent)
        cells[case, "the page"] = treatment.of_callback(answer)
    stolen = front_door.anonymous().ask("POST", attempt.form.action, data=data | genuine)
    attempt.submit(person.name, person.password)
    judge(Table(cells), evidence)
    # a browser that never began this sign-in is redirected to a new one
    assert (stolen.status_code, dict(stolen.cookies).get(SESSION_COOKIE)) == (303, None)
    assert stolen.headers["Location"].startswith("/login/again?")


def test_a_forged_session_cookie_is_refused(front_door, people, evidence):
    """A session cookie with any change, however small, is no longer accepted."""
    person = people.make("viewer")
    visitor = front_door.sign_in(person.name, person.password)
    genuine = visitor.cookies[SESSION_COOKIE]
    values = {case: forge(genuine) for case, forge in FORGERIES.items()}
    values["made for something else"], *_ = csrf_cookies(front_door.begin().visitor).values()
    cells = {}
    for case, value in values.items():
        answer = front_door.anonymous().ask(
            "GET", "/api/me", headers={"Cookie": f"{SESSION_COOKIE}={value}"}
        )
        cells[case, "the browser"] = treatment.of_session(answer)
    control(session_of(visitor) == treatment.SIGNED_IN, "the genuine cookie is refused, too")
    judge(Table(cells), evidence)


def test_sign_in_never_reuses_a_planted_session(front_door, people, evidence):
    """Sign-in creates a new session even if an attacker planted their own (session fixation)."""
    person, attacker = people.make("developer"), people.make("viewer")
    planted = front_door.sign_in(attacker.name, attacker.password)
    attempt = front_door.begin("/", planted.twin())
    victim = attempt.finish(attempt.submit(person.name, person.password).url)
    evidence.attach(victim=victim.ask("GET", "/api/me").text)
    answer = planted.ask("GET", "/api/me")
    evidence.attach(attacker=answer.text)
    taken_over = victim.cookies[SESSION_COOKIE] == planted.cookies[SESSION_COOKIE]
    assert not taken_over
    assert answer.status_code == 401 or answer.json()["user"] == attacker.name


def session_of(visitor):
    """Whether the browser has a session, as seen from an API call."""
    return treatment.of_session(visitor.ask("GET", "/api/me"))


def csrf_cookies(visitor):
    return {name: value for name, value in visitor.cookies.items() if name.endswith("_csrf")}


def judge(observed, evidence):
    judging.judge(observed, dict.fromkeys(observed, treatment.REFUSED), evidence)
