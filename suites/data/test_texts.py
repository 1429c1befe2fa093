"""Text of any script is stored as it is or refused; names that hide or deceive are refused."""

import json
from datetime import UTC, datetime

import pytest

from infraforge.probes import logs
from infraforge.verdict import control
from infraforge.workloads.raw_requests import MARK, SQL, file_path, send

pytestmark = pytest.mark.control("SOC2-PI1.5", "ISO27001-A.8.26", "NIST-SI-10")

UNICODE = (
    "e\u0301\u0300\u0302 \u200b\u200d \ufeff",
    "\U0001f469\u200d\U0001f4bb \u05e9\u05dc\u05d5\u05dd",
    "\ufdfa" * 50,
    "\u0131\u0130\u00df\ufb03",
    "\U0010ffff",
)
HIDDEN = {
    "a zero-width space": "\u200b",
    "a Hangul filler": "\u3164",
    "a blank braille pattern": "\u2800",
    "white space": "\u2003\u3000",
    "a variation selector": "\ufe0f",
    "a combining mark first": "\u0301a",
    "a right-to-left mark": "a\u200fb",
    "an Arabic letter mark": "a\u061cb",
    "a right-to-left override": "a\u202eb",
    "a joiner between Latin letters": "a\u200db",
    "tag characters": "a\U000e0041\U000e0042",
    "a soft hyphen": "a\u00adb",
    "a private-use character": "\ue000",
    "a noncharacter": "\U0010ffff",
}
WRITTEN = {
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "emoji": "\U0001f469\U0001f3fd\u200d\U0001f4bb \u2764\ufe0f",
}


@pytest.mark.parametrize("name", HIDDEN.values(), ids=HIDDEN.keys())
def test_names_that_hide_or_deceive_are_refused(author, own, unharmed, name):
    """Names that are invisible or reverse the text direction are refused for projects and files."""
    raw = json.dumps({"name": name}).encode()
    unharmed.append(send(author.session, "POST", "/api/projects", raw))
    unharmed.append(send(author.session, "PUT", f"/api/projects/{own.id}", raw))
    unharmed.append(author.session.ask("PUT", file_path(own.id, name), data=b"content"))
    unharmed.check()


@pytest.mark.parametrize("name", WRITTEN.values(), ids=WRITTEN.keys())
def test_names_that_need_invisible_characters_are_accepted(author, own, name):
    """Names in scripts and emoji that need joiners are accepted and stored unchanged."""
    assert author.update_project(own.id, name).name == name
    assert author.put_file(own.id, name, b"content").name == name
    assert name in [file.name for file in author.files(own.id)[0]]


TEXTS = {f"SQL {n}": text for n, text in enumerate(SQL)}
TEXTS |= {f"Unicode {n}": text for n, text in enumerate(UNICODE)}


@pytest.mark.parametrize("kept", TEXTS.values(), ids=TEXTS.keys())
def test_text_is_stored_verbatim_or_refused(platform, author, own, kept):
    """SQL and text in any script are stored unchanged or refused, and never executed."""
    began = datetime.now(UTC)
    answers, stored = [], {}
    raw = json.dumps({"name": kept, "description": kept}).encode()
    answers.append(send(author.session, "POST", "/api/projects", raw))
    if answers[-1].status_code == 201:
        project = author.read_project(answers[-1].json()["id"])[0]
        stored |= {"name": project.name, "description": project.description}
        author.delete_project(project.id)
    try:
        put = author.session.ask("PUT", file_path(own.id, kept), data=b"content")
        answers.append(put)
        if put.status_code == 201:
            names = [file.name for file in author.files(own.id)[0] if file.name != "stays.txt"]
            stored["file"] = names[0] if len(names) == 1 else str(names)
    finally:
        for file in author.files(own.id)[0]:
            if file.name != "stays.txt":
                author.delete_file(own.id, file.name)
    told = [answer.status_code for answer in answers]
    control(401 not in told, f"requests got 401 in spite of the session: {told}")
    assert all(value == kept for value in stored.values()), stored
    assert all(a.status_code == 201 or 400 <= a.status_code < 500 for a in answers), answers
    assert author.read_project(own.id)[0] == own
    asked = {answer.headers.get("X-Request-Id", "") for answer in answers}
    assert not logs.offences(platform.site, began, asked, MARK)
