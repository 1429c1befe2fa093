"""Vault's component without a Vault: what it reads, parses and decodes."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infraforge.components import vault_accounts
from infraforge.components.vault import audit_entry
from infraforge.components.vault_bootstrap import audit_devices, decode_root_token, settle_audit
from infraforge.components.vault_identity import Identities

TREE = Path(__file__).parents[2] / "platform"
POLICIES = TREE / "components" / "vault" / "policies"


def test_the_root_token_is_decoded_with_its_one_time_pad() -> None:
    token, pad = "hvs.abcdefghijklmnopqrstuvwx", "0123456789012345678901234567"
    raw = bytes(a ^ b for a, b in zip(token.encode(), pad.encode(), strict=True))
    encoded = base64.b64encode(raw).decode().rstrip("=")
    assert decode_root_token(encoded, pad) == token


def test_a_pad_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        decode_root_token(base64.b64encode(b"12345").decode(), "123")


@pytest.mark.parametrize(
    "line",
    ["", "==> Vault server started!", "{", "[1]", '{"type": "other"}', '"request"'],
)
def test_other_output_is_not_an_audit_entry(line: str) -> None:
    assert audit_entry(line) is None


@pytest.mark.parametrize("kind", ["request", "response"])
def test_audit_entries_are_read(kind: str) -> None:
    entry = {"type": kind, "time": "2026-11-24T12:00:00.123456789Z"}
    assert audit_entry(json.dumps(entry)) == entry


def test_every_user_is_in_known_groups_and_one_is_shut_out() -> None:
    identities = Identities.load(TREE)
    for user in identities.users:
        assert set(user.groups) <= set(identities.groups)
    assert [user.name for user in identities.users if user.disabled] == ["former"]
    assert {"email", "groups", "profile"} <= set(identities.scopes)


class AuditOfAVault:
    """The audit devices of a Vault; how many there were after each change."""

    def __init__(self, **devices: dict[str, object]) -> None:
        self.devices = {f"{name}/": device for name, device in devices.items()}
        self.numbers: list[int] = []
        self.sys = self

    def list_enabled_audit_devices(self) -> dict[str, dict[str, dict[str, object]]]:
        return {"data": self.devices.copy()}

    def enable_audit_device(self, kind: str, path: str, options: dict[str, str]) -> None:
        assert f"{path}/" not in self.devices, "Vault refuses a path that is taken"
        self.devices[f"{path}/"] = {"type": kind, "options": options}
        self.numbers.append(len(self.devices))

    def disable_audit_device(self, path: str) -> None:
        del self.devices[f"{path}/"]
        self.numbers.append(len(self.devices))


GOOD: dict[str, object] = {"type": "file", "options": {"file_path": "stdout"}}
RAW: dict[str, object] = {"type": "file", "options": {"file_path": "stdout", "log_raw": "true"}}


@pytest.mark.parametrize(
    ("there", "least"),
    [
        ({}, 1),
        ({"stdout": GOOD}, 1),
        ({"former": GOOD}, 1),
        ({"former": GOOD, "stdout": GOOD}, 1),
        ({"stdout": RAW}, 0),
    ],
)
def test_audit_devices_become_those_of_the_tree(
    there: dict[str, dict[str, object]], least: int
) -> None:
    vault = AuditOfAVault(**there)
    settle_audit(vault, audit_devices(TREE / "components" / "vault"))
    assert vault.devices == {"stdout/": GOOD}
    assert min(vault.numbers, default=1) == least, "for a moment nobody was told"


def test_every_component_with_a_policy_names_its_namespace() -> None:
    components = TREE / "components"
    having = sorted(path.parent.name for path in components.glob("*/vault-policy.hcl"))
    declared = vault_accounts.accounts(TREE, [*having, "frontend"])
    assert [account.name for account in declared] == having
    for account in declared:
        assert account.role["bound_service_account_names"] == [account.name]
        assert account.role["bound_service_account_namespaces"][0].startswith("infraforge-")
        assert account.role["token_policies"] == [account.name]
        times = [v for k, v in account.role.items() if k in ("token_period", "token_max_ttl")]
        assert times, "a token that never ends"
        assert all(0 < seconds <= 3600 for seconds in times)


class PoliciesOfAVault:
    """Vault's policies and roles, as hvac reads and writes them."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, object]] = {}
        self.sys = self

    def create_or_update_policy(self, name: str, policy: str) -> None:
        self.kept[f"sys/policies/acl/{name}"] = {"policy": policy}

    def write_data(self, path: str, data: dict[str, object]) -> None:
        self.kept[path] = {**data, "token_type": "default"}

    def read(self, path: str) -> dict[str, object] | None:
        return {"data": self.kept[path]} if path in self.kept else None


def test_differing_rights_of_components_are_corrected() -> None:
    vault: Any = PoliciesOfAVault()
    wanted = vault_accounts.accounts(TREE, ["backend", "worker"])
    assert not vault_accounts.there(vault, wanted)
    vault_accounts.put(vault, wanted)
    assert vault_accounts.there(vault, wanted)
    for path, key, value in (
        ("sys/policies/acl/worker", "policy", 'path "*" { capabilities = ["sudo"] }'),
        ("auth/kubernetes/role/backend", "token_policies", ["backend", "operator"]),
        ("auth/kubernetes/role/backend", "token_period", 7200),
    ):
        before = dict(vault.kept[path])
        vault.kept[path][key] = value
        assert not vault_accounts.there(vault, wanted), key
        vault.kept[path] = before


def test_the_operator_can_neither_make_tokens_nor_change_its_own_rights() -> None:
    text = (POLICIES / "operator.hcl").read_text()
    rules = dict(re.findall(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]', text))
    writing = {path for path, can in rules.items() if re.search("create|update|delete", can)}
    assert len(rules) == len(re.findall(r"^path ", text, re.MULTILINE)), "one was not read"
    assert "auth/token/create" not in rules
    for path in rules.keys() & writing:
        assert not path.startswith(("sys/polic", "auth/kubernetes/", "sys/audit", "sys/auth")), path
    for path in writing:
        if path.startswith(("auth/userpass/users/", "identity/entity", "identity/group")):
            rule = text[text.index(f'path "{path}"') :].split("\n}", 1)[0]
            alias = path.startswith("identity/entity-alias")
            assert alias or re.search(r'denied_parameters = {\s+"policies"', rule), path
    for glob in (path for path in writing if "*" in path):
        assert not glob.startswith(
            ("sys/policies", "sys/policy", "sys/auth", "sys/mounts", "auth/kube")
        )
    assert "*" not in rules
