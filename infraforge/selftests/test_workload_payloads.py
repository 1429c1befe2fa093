"""The firewall's two lists correspond, and answers are told apart by who gave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from infraforge.errors import UsageError
from infraforge.workloads import payloads
from infraforge.workloads.visitor import Answer

LISTS = Path(__file__).parents[2] / "suites" / "access"
ATTACKS = payloads.load(LISTS / "attacks.toml")
HARMLESS = payloads.load(LISTS / "harmless.toml")


def test_each_attack_has_a_harmless_counterpart_in_the_same_place() -> None:
    def about(payload: payloads.Payload) -> tuple[str, str, str]:
        return payload.kind, payload.name, payload.place

    assert [about(payload) for payload in ATTACKS] == [about(payload) for payload in HARMLESS]
    assert not {payload.sent for payload in ATTACKS} & {payload.sent for payload in HARMLESS}
    assert {payload.kind for payload in ATTACKS} == {"injection", "xss", "traversal", "smuggling"}
    assert {payload.place for payload in ATTACKS} == set(payloads.PLACES)


@pytest.mark.parametrize(
    ("status", "body", "became"),
    [
        (200, "", payloads.LET_THROUGH),
        (201, "", payloads.LET_THROUGH),
        (403, '{"detail":"The firewall stopped this request: …"}', payloads.STOPPED),
        (400, "<p>What was sent is malformed.</p>", payloads.STOPPED),
        (403, '{"detail":"only a developer may do this"}', "answered 403"),
        (400, '{"detail":"the body is not JSON in UTF-8"}', "answered 400"),
        (401, "sign in first", "answered 401"),
        (404, "", "answered 404"),
        (500, "The firewall stopped this request", "answered 500"),
    ],
)
def test_only_the_front_doors_own_words_mean_stopped(status: int, body: str, became: str) -> None:
    assert payloads.became(Answer(status, (), body.encode())) == became


@pytest.mark.parametrize(
    "text",
    [
        '[[xss]]\nname = "a"\nplace = "nowhere"\nsent = "x"\n',
        '[[xss]]\nname = "a"\nplace = "query"\n',
        '[[xss]]\nname = "a"\nplace = "query"\nsent = "x"\nexpected = "stopped"\n',
        '[[xss]]\nname = "a"\nplace = "query"\nsent = "x"\n' * 2,
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        payloads.load(path)
