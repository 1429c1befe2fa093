"""Sign-ins in Vault's audit log: denied and let in are told apart, requests alone do not count."""

from infraforge.probes.sign_ins import sign_ins

LOGIN = {"path": "auth/userpass/login/ada"}
LET_IN = {
    "type": "response",
    "request": LOGIN,
    "auth": {"client_token": "hmac-sha256:0"},
    "response": {"auth": {"client_token": "hmac-sha256:0"}},
}
WRONG = {"type": "response", "request": LOGIN, "error": "invalid username or password"}
QUIETLY_WRONG = {"type": "response", "request": LOGIN, "response": {"data": {"error": "hmac"}}}
DISABLED = {**LET_IN, "error": "permission denied"}


def test_each_attempt_is_reported() -> None:
    entries = [WRONG, QUIETLY_WRONG, DISABLED, LET_IN]
    assert sign_ins(entries) == {"ada": ["denied", "denied", "denied", "let in"]}


def test_other_auth_methods_are_read_alike() -> None:
    asked = {"request": {"path": "auth/ldap/login/ada"}}
    assert sign_ins([{**WRONG, **asked}, {**LET_IN, **asked}]) == {"ada": ["denied", "let in"]}


def test_other_entries_are_not_sign_ins() -> None:
    other = {"type": "response", "request": {"path": "auth/kubernetes/login"}}
    assert sign_ins([{**LET_IN, "type": "request"}, other, {"type": "response"}]) == {}
