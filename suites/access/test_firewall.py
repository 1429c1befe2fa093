"""The firewall stops attacks at the front door and lets harmless lookalikes through."""

import json
import secrets
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import allure
import pytest

from infraforge.judging import judge
from infraforge.probes import logs
from infraforge.table import Table
from infraforge.wait import seconds, wait_until
from infraforge.workloads import payloads, treatment
from infraforge.workloads.backend_client import Refused
from infraforge.workloads.payloads import LET_THROUGH, STOPPED
from infraforge.workloads.streams import Stream

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.20", "NIST-SC-7"),
]

ATTACKS = payloads.load(Path(__file__).with_name("attacks.toml"))
HARMLESS = payloads.load(Path(__file__).with_name("harmless.toml"))
KINDS = tuple(dict.fromkeys(payload.kind for payload in ATTACKS))
PROBLEM = "application/problem+json"
MIB = 1024 * 1024
# the backend's documented limit; the front door's own is slightly higher
LIMIT = 100 * MIB
# NGINX's own errors: status -> the headers that provoke it on GET /api/me with a session
HEADERS = {
    400: (("Content-Length", "4"), ("Transfer-Encoding", "chunked")),
    431: (("X-Long", "a" * 16_000),),
    501: (("Transfer-Encoding", "of my own"),),
}
PASSWORDS = ("' OR 1=1 --", "; cat /etc/passwd", "<script>alert(1)</script>", "../../etc/passwd")


@pytest.mark.parametrize("kind", KINDS)
def test_attacks_are_stopped(front_door, developer, project, evidence, kind):
    """The front door stops every known attack and lets plain text through."""
    sender = payloads.Sender(front_door, developer.session, project)
    control = payloads.Payload(kind, "control", "description", "Nothing in particular.")
    observed = outcomes(sender, [control, *of(kind, ATTACKS)])
    declared = dict.fromkeys(observed, STOPPED) | {(kind, "control"): LET_THROUGH}
    judge(Table(observed), Table(declared), evidence, controls=[(kind, "control")])


@pytest.mark.parametrize("kind", KINDS)
def test_harmless_lookalikes_of_attacks_are_let_through(
    front_door, developer, project, evidence, kind
):
    """For each attack, a harmless text that resembles it is let through to the same place."""
    sender = payloads.Sender(front_door, developer.session, project)
    observed = outcomes(sender, of(kind, HARMLESS))
    judge(Table(observed), Table(dict.fromkeys(observed, LET_THROUGH)), evidence)


def test_file_contents_are_not_inspected(front_door, developer, project):
    """A file full of attacks is stored unchanged; the same text as a description is stopped."""
    content = "\n".join(payload.sent for payload in ATTACKS)
    developer.put_file(project.id, "attacks.txt", content.encode())
    assert developer.get_file(project.id, "attacks.txt") == content.encode()
    sender = payloads.Sender(front_door, developer.session, project)
    described = payloads.Payload("all", "at once", "description", content)
    assert sender.send(described) == STOPPED


def test_uploads_beyond_the_size_limit_are_rejected(developer, project):
    """An upload of undeclared length is rejected once it exceeds the limit, and is not stored."""
    with pytest.raises(Refused) as refused:
        developer.put_file(project.id, "large.bin", iter(Stream(LIMIT + 1, seed=1)))
    assert refused.value.status == 413
    developer.put_file(project.id, "small.bin", iter(Stream(MIB, seed=2)))
    assert [(file.name, file.size) for file in developer.files(project.id)[0]] == [
        ("small.bin", MIB)
    ]


def test_passwords_are_not_inspected(front_door, evidence):
    """Attack-like passwords reach Vault; attack-like user names are stopped."""
    cells = {}
    for text in PASSWORDS:
        answer = front_door.begin().post("nobody-in-particular", text)
        cells[text, "as password"] = payloads.became(answer)
        answer = front_door.begin().post(text, "not the password")
        cells[text, "as user name"] = payloads.became(answer)
    wanted = {"as password": LET_THROUGH, "as user name": STOPPED}
    declared = {(text, field): wanted[field] for text, field in cells}
    judge(Table(cells), Table(declared), evidence)


def test_the_firewall_logs_the_matched_rules_but_no_content(
    platform, front_door, developer, project
):
    """The log has the request's id and the matched rules, but no body, cookie or password."""
    since = datetime.now(UTC)
    mark = secrets.token_hex(12)
    attack = f"<script>alert({mark})</script>"
    front_door.begin().post(attack, mark)  # sent first, so it is logged before the other request
    answer = developer.session.ask(
        "PUT",
        f"/api/projects/{project.id}",
        json={"name": project.name, "description": attack},
        headers={"Cookie": f"{developer.session.cookie_header()}; note={mark}"},
    )
    assert answer.status_code == 403
    number = answer.headers["X-Request-Id"]

    def told():
        return [line for line in logs.lines(platform.site, "ingress", since) if number in line]

    wait_until(
        lambda: len(told()) >= 2,
        seconds(15),
        what="the firewall's line and the access log's line are logged",
    )
    assert any("rules" in line and "941100" in line for line in told())
    assert [line for line in logs.lines(platform.site, "ingress", since) if mark in line] == []


def test_nginxs_own_errors_under_api_are_problem_documents(
    front_door, developer, project, evidence
):
    """Every error that NGINX itself returns under /api is application/problem+json."""
    session, path = developer.session, f"/api/projects/{project.id}"
    cookie = ("Cookie", session.cookie_header())
    text = {"Content-Type": "text/plain"}
    form = {"Content-Type": "application/json"}
    answers = {
        401: front_door.anonymous().ask("GET", "/api/me"),
        403: session.ask("GET", "/api/me", params={"note": "' OR 1=1 --"}),
        404: session.ask("GET", "/api"),
        405: session.ask("TRACE", "/api/me"),
        413: session.ask("PUT", path, data=b" " * MIB, headers=form),
        415: session.ask("PUT", path, data=b"a text", headers=text),
    }
    cells = {
        (str(status), "answer"): problem(answer.status_code, answer.headers, answer.content)
        for status, answer in answers.items()
    }
    raw = {
        status: front_door.send_as_is("/api/me", cookie, *headers)
        for status, headers in HEADERS.items()
    }
    raw[414] = front_door.send_as_is("/api/me?" + "a" * 16_000, cookie)
    for status, answer in raw.items():
        content_type = {"Content-Type": answer.header("Content-Type")}
        cells[str(status), "answer"] = problem(answer.status, content_type, answer.body)
    judge(Table(cells), Table({place: f"problem {place[0]}" for place in cells}), evidence)
    assert session.ask("GET", "/api/me").headers["Content-Type"] == "application/json"


def of(kind, known):
    return [payload for payload in known if payload.kind == kind]


def outcomes(sender, sent):
    """Cells: what happened to each payload, or None without a usable response."""
    cells = {}
    for payload in sent:
        question = {payload.name: partial(sender.send, payload)}
        cells |= treatment.observe(payload.kind, question, str)
    return cells


def problem(status, headers, body):
    """`problem` and the status if the body is a problem document for it, else what it is."""
    kind = headers.get("Content-Type", "")
    if kind != PROBLEM:
        return f"{status} {kind}"
    told = json.loads(body)
    return f"problem {status}" if told["status"] == status and told["detail"] else f"{told}"
