"""The operator's sign-in at Vault: a refusal is told at once, silence is asked again."""

from __future__ import annotations

import threading
from typing import Any

import hvac
import pytest
import requests

from infraforge.components import site
from infraforge.components.site import Site
from infraforge.errors import ClusterError


class Vault:
    """A client whose sign-ins end in `endings`, one after the other."""

    def __init__(self, endings: list[Exception | None]) -> None:
        self.endings = endings
        self.auth = self.kubernetes = self

    def __call__(self, **_: Any) -> Vault:
        return self

    def login(self, **_: Any) -> None:
        if error := self.endings.pop(0):
            raise error


@pytest.fixture
def signing_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    def with_endings(*endings: Exception | None) -> Vault:
        vault = Vault(list(endings))
        monkeypatch.setattr(site.hvac, "Client", vault)
        monkeypatch.setattr(Site, "_vault_address", lambda _: "https://127.0.0.1:1")
        monkeypatch.setattr(Site, "account_token", lambda *_: "token")
        monkeypatch.setattr(Site, "ca_file", "ca.crt")
        bare = Site.__new__(Site)
        bare._vault_lock = threading.Lock()
        assert bare.vault() is vault
        return vault

    return with_endings


def test_a_vault_that_does_not_answer_is_asked_again(signing_in: Any) -> None:
    silent = requests.ReadTimeout("Read timed out")
    assert signing_in(silent, silent, None).endings == []


def test_a_refusal_is_told_at_once(signing_in: Any) -> None:
    with pytest.raises(ClusterError, match="Vault refused the operator role"):
        signing_in(hvac.exceptions.Forbidden("permission denied"), None)
