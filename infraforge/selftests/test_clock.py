"""The cluster's clock against this machine's."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes import client

from infraforge.cluster import clock
from infraforge.errors import UsageError

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def answering(monkeypatch: pytest.MonkeyPatch, headers: Mapping[str, str]) -> Any:
    monkeypatch.setattr(
        client.VersionApi, "get_code_with_http_info", lambda _self: ({}, 200, headers)
    )
    return client.ApiClient()


@pytest.mark.parametrize("seconds", [0, 1, -1, 119, -119])
def test_a_small_difference_is_accepted(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    theirs = email.utils.format_datetime(NOON + datetime.timedelta(seconds=seconds), usegmt=True)
    clock.check(answering(monkeypatch, {"date": theirs}), lambda: NOON)


@pytest.mark.parametrize(
    ("seconds", "word"), [(-121, "ahead of"), (121, "behind"), (86400, "86400")]
)
def test_a_wrong_clock_is_reported_before_any_certificate_is_made(
    monkeypatch: pytest.MonkeyPatch, seconds: int, word: str
) -> None:
    theirs = email.utils.format_datetime(NOON + datetime.timedelta(seconds=seconds), usegmt=True)
    with pytest.raises(UsageError, match=word):
        clock.check(answering(monkeypatch, {"Date": theirs}), lambda: NOON)


def test_a_server_without_date_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.check(answering(monkeypatch, {}), lambda: NOON)


def test_a_slow_answer_is_not_a_wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([NOON, NOON + datetime.timedelta(minutes=10)])
    theirs = email.utils.format_datetime(NOON + datetime.timedelta(minutes=5), usegmt=True)
    clock.check(answering(monkeypatch, {"date": theirs}), lambda: next(moments))
