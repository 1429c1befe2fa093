"""The directory without a cluster: its files, and the promised times with the follower's share."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import yaml

from infraforge import components
from infraforge.components import backend, directory, ldap
from infraforge.components.vault_identity import Identities
from infraforge.profile import Profile

TREE = Path(__file__).parents[2] / "platform"
FOLDER = TREE / "components" / "ldap"


def settings(path: Path) -> dict[str, float]:
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {key: float(value) for key, _, value in lines}


def test_the_managers_password_is_kept_as_a_salted_hash() -> None:
    one, two = ldap.hashed("secret"), ldap.hashed("secret")
    raw = base64.b64decode(one.removeprefix("{SSHA}"))
    assert raw[:20] == hashlib.sha1(b"secret" + raw[20:], usedforsecurity=False).digest()
    assert one != two


def test_directory_and_vault_agree_on_base_and_accounts() -> None:
    conf = (FOLDER / "slapd.conf").read_text()
    named = set(re.findall(r'"([a-z]+=[^"]+)"', conf))
    accounts = {directory.account_dn(name) for name in directory.ACCOUNTS}
    branches = {directory.BASE, directory.PEOPLE, directory.GROUPS, directory.MANAGER}
    assert accounts | branches <= named
    assert all(name.endswith(directory.BASE) for name in named)
    probe = (FOLDER / "statefulset.yaml").read_text()
    assert all(dn in probe for dn in accounts)


def test_the_only_listener_is_tls() -> None:
    workload = yaml.safe_load((FOLDER / "statefulset.yaml").read_text())
    slapd, _ = workload["spec"]["template"]["spec"]["containers"]
    listeners = slapd["args"][slapd["args"].index("-h") + 1].split()
    assert listeners == ["ldaps://0.0.0.0:6360/"]


def test_the_follower_may_write_exactly_the_existing_groups() -> None:
    policy = (FOLDER / "vault-policy.hcl").read_text()
    groups = re.findall(r'path "identity/group/name/([^"]+)"', policy)
    assert tuple(groups) == Identities.load(TREE).groups
    assert "policies" not in policy


def test_rights_are_lost_in_the_stated_time_the_followers_share_included() -> None:
    stated = settings(TREE / "components" / "backend" / "settings.env")["STANDING_SECONDS"]
    profile = Profile.load("minimal-ldap", TREE)
    counted = float(backend.profile_settings(profile)["STANDING_SECONDS"])
    # a round that has just begun, the next one, and Vault's answers to it
    followed = 2 * settings(FOLDER / "follower.env")["FOLLOW_SECONDS"] + 1
    assert counted + followed <= stated
    assert "STANDING_SECONDS" not in backend.profile_settings(Profile.load("minimal", TREE))


def test_the_component_and_its_folder_agree() -> None:
    folder = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert folder["namespace"] == components.load("ldap").namespace
