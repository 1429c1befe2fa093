"""`infraforge verify`: whether a bundle is as it was made, and whether its verdicts follow from it.

Three answers, and the first that applies counts:

    changed     something is not as it was made, or does not follow from what it rests on    exit 1
    uncertain   something that should follow from what was kept cannot be made again         exit 2
    neither     all of it agrees                                                             exit 0

No cluster is needed, nor the repository. The code here takes nothing in a bundle for true: every
member may come from somebody who wants it to look green.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infraforge.evidence import ALLURE_STATUS, HISTORY, TEST_LABEL, VERDICT
from infraforge.outcome import WORSE
from infraforge.report import bundle, controls, harness, rejudge, sealed
from infraforge.report.container import Content
from infraforge.report.examined import Examined
from infraforge.report.index import Entry, Index
from infraforge.runs import RESULTS
from infraforge.verdict import Outcome

_PAGE = "report/index.html"
_RESULT = "-result.json"


def examine(content: Content, trusted: Ed25519PublicKey | None = None) -> Examined:
    """All that can be said of a bundle's content. trusted: the key that must have signed it."""
    found = Examined()
    found.changed(*content.troubles)
    members = content.members
    if not members:  # there is nothing more to say of it
        found.changed(*([] if content.troubles else ["the container is empty"]))
        return found
    steps: list[tuple[str, Callable[[], None]]] = [
        ("the manifest", lambda: found.changed(*sealed.against_manifest(content))),
        ("the index", lambda: sealed.read_index(found, content)),
        ("the signature", lambda: sealed.signature(found, members, trusted)),
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
