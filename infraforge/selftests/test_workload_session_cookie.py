"""OAuth2 Proxy's session cookie: the key in its store, and forgeries that differ from it."""

import base64

import pytest

from infraforge.errors import Inconclusive
from infraforge.workloads.session_cookie import FORGERIES, store_key

KEY = "__Host-infraforge_session-00112233445566778899aabbccddeeff"


def encoded(text: str, padded: bool = False) -> str:
    base64_text = base64.urlsafe_b64encode(text.encode()).decode()
    return base64_text if padded else base64_text.rstrip("=")


def cookie(version: str = "v2") -> str:
    ticket = f"{version}.{encoded(KEY)}.{encoded('0123456789abcdef')}"
    return f"{encoded(ticket, padded=True)}|1764000000|c2lnbmF0dXJl"


def test_the_ticket_names_the_key() -> None:
    assert store_key(cookie()) == KEY


@pytest.mark.parametrize(
    "value", ["", "x", "a|b", "!!!|1|2", cookie("v3"), encoded("v2.x") + "|1|2"]
)
def test_a_cookie_of_another_format_has_no_key(value: str) -> None:
    with pytest.raises(Inconclusive):
        store_key(value)


@pytest.mark.parametrize("case", FORGERIES)
def test_every_forgery_differs(case: str) -> None:
    assert FORGERIES[case](cookie()) != cookie()
    assert FORGERIES[case](cookie()) not in [
        forge(cookie()) for other, forge in FORGERIES.items() if other != case
    ]


def test_a_changed_value_is_another_value_once_decoded() -> None:
    changed, genuine = (
        text.split("|")[0] for text in (FORGERIES["value changed"](cookie()), cookie())
    )
    assert base64.urlsafe_b64decode(changed) != base64.urlsafe_b64decode(genuine)
