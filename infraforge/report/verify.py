"""`infraforge verify`: whether a bundle is as it was made, and whether its verdicts follow from it.

Three answers, and the first that applies counts:

    changed     something is not as it was made, or does not follow from what it rests on    exit 1
    uncertain   something that should follow from what was kept cannot be made again         exit 2
    neither     all of it agrees                                                             exit 0

No cluster is needed, nor the repository. The code here takes nothing in a bundle for true: every
member may come from somebody who wants it to look green.
"""

from __future__ import annotations

import enum
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infraforge.evidence import ALLURE_STATUS, HISTORY, TEST_LABEL, VERDICT
from infraforge.outcome import WORSE
from infraforge.report import bundle, controls, harness, rejudge, signing
from infraforge.report.container import Content
from infraforge.report.index import Entry, Index
from infraforge.report.rejudge import Judged
from infraforge.runs import RESULTS
from infraforge.verdict import Outcome

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PAGE = "report/index.html"
_RESULT = "-result.json"


class Grade(enum.Enum):
    """What a finding means for the whole bundle; the value is the exit code."""

    CHANGED = 1
    UNCERTAIN = 2


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, in words that name the member or the test."""

    grade: Grade
    words: str

    def __str__(self) -> str:
        return f"{'changed' if self.grade is Grade.CHANGED else 'uncertain'}: {self.words}"


@dataclass
class Examined:
    """What an examination found.

    judged: every verdict that a test rests on; by_assertion: tests that rest on assertions in their
    own code, of which nothing can be made again; index: None where it could not be read; signed_by:
    fingerprint of the key that signed, "" where nobody is known to have.
    """

    findings: list[Finding] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    by_assertion: list[str] = field(default_factory=list)
    index: Index | None = None
    signed_by: str = ""
    vouched_for: bool = False

    @property
    def exit_code(self) -> int:
        grades = {finding.grade for finding in self.findings}
        return next((grade.value for grade in Grade if grade in grades), 0)

    def changed(self, *words: str) -> None:
        self.findings += [Finding(Grade.CHANGED, said) for said in words]

    def uncertain(self, *words: str) -> None:
        self.findings += [Finding(Grade.UNCERTAIN, said) for said in words]


def examine(content: Content, trusted: Ed25519PublicKey | None = None) -> Examined:
    """All that can be said of a bundle's content. trusted: the key that must have signed it."""
    found = Examined()
    found.changed(*content.troubles)
    members = content.members
    if not members:  # there is nothing more to say of it
        found.changed(*([] if content.troubles else ["the container is empty"]))
        return found
    steps: list[tuple[str, Callable[[], None]]] = [
        ("the manifest", lambda: found.changed(*_against_manifest(content))),
        ("the index", lambda: _read_index(found, content)),
        ("the signature", lambda: _signature(found, members, trusted)),
        ("the verdicts", lambda: _verdicts(found, members)),
        ("the tests", lambda: _tests(found, members)),
        ("the run", lambda: _run(found)),
        ("the controls", lambda: _controls(found, members)),
    ]
    for what, step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a hostile member must not end the examination
            told = ascii(str(error))[1:-1][:300]
            found.uncertain(f"{what} cannot be checked: {type(error).__name__}: {told}")
    return found


def _against_manifest(content: Content) -> Iterator[str]:
    """What is damaged, missing or added, by the manifest."""
    members = content.members
    if bundle.MANIFEST not in members:
        if bundle.MANIFEST not in content.unreadable:
            yield f"{bundle.MANIFEST} is missing"
        return
    listed: dict[str, str] = {}
    for line in members[bundle.MANIFEST].decode(errors="replace").splitlines():
        if match := _LINE.fullmatch(line):
            listed[match[2]] = match[1]
        else:
            yield f"{bundle.MANIFEST} has a line that is none: {ascii(line)[1:-1][:100]}"
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(listed.items()))
    if lines.encode() != members[bundle.MANIFEST]:
        yield f"{bundle.MANIFEST} is not as one is written"
    for name, digest in listed.items():
        if name in members and bundle.sha256(members[name]) != digest:
            yield f"{ascii(name)[1:-1]} was changed"
        elif name not in members and name not in content.unreadable:
            yield f"{ascii(name)[1:-1]} is missing"
    for name in (*members, *sorted(content.unreadable)):
        if name not in listed and name not in bundle.UNSIGNED:
            yield f"{ascii(name)[1:-1]} was added: the manifest does not have it"


def _read_index(found: Examined, content: Content) -> None:
    text = content.members.get(bundle.RUN_INDEX)
    if text is None:
        if bundle.RUN_INDEX not in content.unreadable:
            found.changed(f"{bundle.RUN_INDEX} is missing: nothing says what ran")
        return
    try:
        found.index = Index.from_json(text)
    except ValueError as error:
        found.changed(f"{bundle.RUN_INDEX}: {ascii(str(error))[1:-1][:300]}")


def _signature(
    found: Examined, members: Mapping[str, bytes], trusted: Ed25519PublicKey | None
) -> None:
    for name in (bundle.SIGNER, bundle.ATTESTATION):
        if name not in members:
            found.changed(f"{name} cannot be had: the bundle is not signed")
            return
    try:
        own = signing.public_key(members[bundle.SIGNER])
    except ValueError as error:
        found.changed(f"{bundle.SIGNER}: {error}")
        return
    if signing.pem(own) != members[bundle.SIGNER]:
        found.changed(f"{bundle.SIGNER} is not as a key is written")
    if trusted and signing.fingerprint(trusted) != signing.fingerprint(own):
        found.changed(
            f"it is signed by another key: {signing.fingerprint(own)}, not "
            f"{signing.fingerprint(trusted)}"
        )
    try:
        said = signing.opened(members[bundle.ATTESTATION], trusted or own)
    except ValueError as error:
        found.changed(f"{bundle.ATTESTATION}: {error}")
        return
    found.signed_by = signing.fingerprint(trusted or own)
    found.vouched_for = trusted is not None
    known = {bundle.RUN_INDEX, bundle.CROSSWALK, bundle.MANIFEST} <= set(members)
    if found.index and known:
        manifest, settings = members[bundle.MANIFEST], bundle.configuration(members)
        if said != signing.statement(found.index, manifest, settings):
            found.changed(f"{bundle.ATTESTATION} says something else than the run's index")


def _verdicts(found: Examined, members: Mapping[str, bytes]) -> None:
    """Every verdict of the index made again; what no test knows of is told."""
    index = found.index
    if index is None or not index.ended:
        return
    by_digest = {bundle.sha256(data): name for name, data in members.items()}
    histories = {
        bundle.sha256(data): data for name, data in members.items() if name.endswith(f".{HISTORY}")
    }
    used: set[str] = set()
    for test, entry in index.tests.items():
        for kept in entry.kept:
            digest = kept.get("verdict") or kept["history"]
            used.add(digest)
            if digest not in by_digest:
                what = f"verdict {kept['name']}" if "verdict" in kept else "history"
                found.changed(f"{test}: its {what} is missing or was changed")
            elif "verdict" in kept:
                data = json.loads(members[by_digest[digest]])
                if (data["name"], data["outcome"]) != (kept["name"], kept["outcome"]):
                    found.changed(f"{test}: its verdict {kept['name']} is another one in its file")
                found.judged.append(rejudge.judge(test, data, histories))
    for name, data in members.items():
        if name.endswith((f".{HISTORY}", f".{VERDICT}")) and bundle.sha256(data) not in used:
            _stray(found, index, f"{name} belongs to no test of the index")
    _compare(found, same_code=index.harness.get("code") == harness.code())


def _compare(found: Examined, *, same_code: bool) -> None:
    """Each verdict as kept, with what it is now; its words, where the same code made them."""
    if not found.judged:
        found.uncertain("it holds no verdict that could be made again: nothing is shown by it")
    for judged in found.judged:
        if judged.again is None:
            found.uncertain(f"{judged.test}: verdict {judged.name}: {judged.lacks}")
        elif judged.differs:
            said = f"kept as {judged.kept}, but it is {judged.again.outcome}"
            found.changed(f"{judged.test}: verdict {judged.name}: {said}")
        elif judged.differs_in_words and same_code:
            found.changed(f"{judged.test}: verdict {judged.name}: explained in other words")


def _tests(found: Examined, members: Mapping[str, bytes]) -> None:
    """Each test's outcome from its phases and verdicts, and what Allure's result says of it."""
    index = found.index
    if index is None:
        return
    if not index.ended:
        found.uncertain(f"run {index.run} did not come to its end: nothing is concluded from it")
        return
    again: dict[str, list[Outcome]] = {}
    for judged in found.judged:
        if judged.again is not None:
            again.setdefault(judged.test, []).append(judged.again.outcome)
    for test, entry in index.tests.items():
        concluded = max((entry.concluded(), *again.get(test, ())), key=WORSE.index)
        if concluded is not entry.outcome:
            found.changed(f"{test}: counted as {entry.outcome}, but what it kept says {concluded}")
        if entry.outcome in (Outcome.HOLDS, Outcome.BROKEN) and test not in again:
            found.by_assertion.append(test)
    said = _in_allure(members)
    for test, statuses in said.items():
        known = index.tests.get(test)
        if known is None:
            _stray(found, index, f"{test}: there is a result of it that the index does not know")
        elif statuses != {ALLURE_STATUS[known.outcome.value]}:
            told = " and ".join(sorted(statuses))
            found.changed(f"{test}: counted as {known.outcome}, but its result says {told}")
    found.changed(
        *(
            f"{test}: it has no result among those of Allure"
            for test, entry in index.tests.items()
            if test not in said and _was_whole(entry)
        )
    )


def _stray(found: Examined, index: Index, words: str) -> None:
    """Something that no test of the index left: after an interruption a test may have, half-way."""
    if index.came_to_its_end:
        found.changed(words)
    else:
        found.uncertain(f"{words}; the run was interrupted")


def _was_whole(entry: Entry) -> bool:
    """Whether it came to its end: Allure writes a result then."""
    return "teardown" in entry.phases


def _in_allure(members: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Test → the statuses of its results."""
    found: dict[str, set[str]] = {}
    for name, data in members.items():
        if name.startswith(f"run/{RESULTS}/") and name.endswith(_RESULT):
            result: dict[str, Any] = json.loads(data)
            labels = result.get("labels", ())
            test = next((x["value"] for x in labels if x["name"] == TEST_LABEL), name)
            found.setdefault(str(test), set()).add(str(result.get("status")))
    return found


def _run(found: Examined) -> None:
    """Tally, missing tests and exit code from the tests."""
    index = found.index
    if index is None or not index.ended:
        return
    kept, again = index.concluded, index.conclusions()
    for what, was, now in (
        ("tally", kept.tally, again.tally),
        ("list of missing tests", kept.missing, again.missing),
        ("list of tests that this cluster cannot run", kept.unable, again.unable),
        ("exit code", kept.exit_code, again.exit_code),
    ):
        if was != now:
            found.changed(f"the run's {what} is {was}, but its tests give {now}")


def _controls(found: Examined, members: Mapping[str, bytes]) -> None:
    """The controls and their page, made again from the index and the crosswalk."""
    index = found.index
    pages = (bundle.CONTROLS_JSON, bundle.CONTROLS_HTML)
    missing = [name for name in (bundle.CROSSWALK, *pages, _PAGE) if name not in members]
    found.changed(*(f"{name} cannot be had" for name in missing))
    if index is None or missing:
        return
    assessed = controls.assess(index, tomllib.loads(members[bundle.CROSSWALK].decode()))
    kept = {one["id"]: one["state"] for one in json.loads(members[bundle.CONTROLS_JSON])}
    for one in assessed:
        was = kept.pop(one.id, "absent")
        if was != one.state:
            found.changed(f"control {one.id}: kept as {was}, but its tests say {one.state}")
    found.changed(*(f"control {name} is in no crosswalk" for name in kept))
    if index.harness.get("code") != harness.code():
        found.uncertain(
            "another version of the harness made this bundle: the words of its verdicts and of its "
            f"page of controls cannot be made again here; use that of commit {index.commit or '?'}"
        )
        return
    for name, text in zip(pages, controls.files(index, assessed), strict=True):
        if members[name] != text.encode():
            found.changed(f"{name} is not what the index gives")
