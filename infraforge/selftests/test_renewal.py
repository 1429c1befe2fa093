"""A component's certificate: when a new one is issued, and when the renewal is done."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import stack
from infraforge.cluster.pki import Authority, serial_of
from infraforge.components import renewal
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.rendered import Images, Record
from infraforge.components.rollout import Rollout
from infraforge.components.site import Site
from infraforge.errors import ClusterError, TimedOut, UsageError
from infraforge.stack import Platform

HOUR = datetime.timedelta(hours=1)


class Shown(Component):
    """Shows a certificate, and takes up a new one as it runs."""

    name = "shown"
    namespace = "infraforge-data"
    listens = (Listener(8443),)
    reloads = True

    def certify(self, site: Any) -> None:
        site.secrets["shown-tls"] = {"tls.crt": site.authority.issue(["shown"]).cert_pem}
        site.renewing = frozenset()


class Replaced(Shown):
    """The same, read once."""

    reloads = False


class Hidden(Component):
    """Has no certificate."""

    name = "hidden"


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """One that has Secrets, and no cluster."""
    made = SimpleNamespace(
        authority=Authority.load_or_create(tmp_path / "ca"),
        tree=tmp_path,
        renewing=frozenset(),
        secrets={},
        cluster=SimpleNamespace(api=None),
        profile=SimpleNamespace(budgets=SimpleNamespace(component=1.0)),
        asked=[],
    )

    def read(name: str, _namespace: str) -> Mapping[str, str] | None:
        made.asked.append(name)
        secret: Mapping[str, str] | None = made.secrets.get(name)
        return secret

    made.read_secret = read
    for method in ("good_certificate", "certificate_serial"):
        setattr(made, method, getattr(Site, method).__get__(made))
    return made


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    return error


def keep(site: Any, life: datetime.timedelta | None = None) -> str:
    """A certificate in its Secret; its serial number."""
    pair = site.authority.issue(["shown"], (), life) if life else site.authority.issue(["shown"])
    site.secrets["shown-tls"] = {"tls.crt": pair.cert_pem}
    return serial_of(pair.cert_pem)


def test_a_good_certificate_is_identified_by_its_serial(site: Any) -> None:
    serial = keep(site)
    assert site.good_certificate("shown", "x") == serial


@pytest.mark.parametrize("why", ["none", "near its end", "asked for", "of another CA"])
def test_a_certificate_is_due_where_there_is_no_good_one(
    site: Any, tmp_path: Path, why: str
) -> None:
    if why != "none":
        keep(site, HOUR if why == "near its end" else None)
    if why == "asked for":
        site.renewing = frozenset({"shown"})
    if why == "of another CA":
        site.authority = Authority.load_or_create(tmp_path / "other")
    assert site.good_certificate("shown", "x") == ""


class Done(Rollout):
    """A rollout that notes what it was to do."""

    def __init__(self, site: Any) -> None:
        super().__init__(site, SimpleNamespace(), Images({}))  # type: ignore[arg-type]
        self.did: list[object] = []

    def _replace_pods(self, component: Component, *_: object) -> None:
        self.did.append("replaced")

    def _note(self, component: Component, record: Record) -> None:
        self.did.append(record.certificate)


@pytest.fixture
def rollout(site: Any, monkeypatch: pytest.MonkeyPatch) -> Done:
    """The rollout; "taken up" is in what it did."""
    made = Done(site)
    monkeypatch.setattr(renewal, "take_up", lambda *_: made.did.append("taken up"))
    monkeypatch.setattr(renewal, "shown", lambda *_: {})
    return made


def quiet(_step: object) -> None:
    """Nobody wants to know."""


def test_a_good_certificate_is_kept_after_one_look(site: Any, rollout: Done) -> None:
    known = Record("digest", (), keep(site))
    assert not rollout.renew(Shown(), known, quiet)
    assert rollout.did == []
    assert site.asked == ["shown-tls"]


@pytest.mark.parametrize("component", [Shown(), Replaced()])
def test_a_deleted_certificate_is_issued_again(
    site: Any, rollout: Done, component: Component
) -> None:
    known = Record("digest", (), keep(site))
    del site.secrets["shown-tls"]
    assert rollout.renew(component, known, quiet)
    serial = serial_of(site.secrets["shown-tls"]["tls.crt"])
    assert serial != known.certificate
    replaced = [] if component.reloads else ["replaced"]
    assert rollout.did == [*replaced, "taken up", serial]


def test_an_issued_certificate_that_is_not_shown_yet_gets_shown(site: Any, rollout: Done) -> None:
    """A run was killed in between."""
    known, serial = Record("digest", (), "of before"), keep(site)
    assert rollout.renew(Shown(), known, quiet)
    assert rollout.did == ["taken up", serial]


@pytest.mark.parametrize(
    ("error", "did"),
    [
        (verification(10), ["replaced", "taken up"]),
        (verification(9), ["replaced", "taken up"]),
        (verification(20), ["taken up"]),  # of another CA: that is another fault
        (ClusterError("no pod"), ["taken up"]),
        (ConnectionResetError(), ["taken up"]),
    ],
)
def test_pods_with_an_expired_certificate_are_replaced(
    site: Any, rollout: Done, monkeypatch: pytest.MonkeyPatch, error: Exception, did: list[str]
) -> None:
    def shown(*_: object) -> None:
        raise error

    monkeypatch.setattr(renewal, "shown", shown)
    serial = keep(site)
    assert rollout.renew(Shown(), Record("digest", (), "of before"), quiet)
    assert rollout.did == [*did, serial]


def test_a_component_without_certificate_has_nothing_to_renew(rollout: Done) -> None:
    assert not rollout.renew(Hidden(), Record("digest", ()), quiet)


@pytest.mark.parametrize(
    ("seen", "ends"),
    [({"a:1": "new", "b:1": "new"}, True), ({"a:1": "new", "b:1": "old"}, False), ({}, False)],
)
def test_renewal_ends_when_every_pod_shows_the_new_certificate(
    monkeypatch: pytest.MonkeyPatch, seen: Mapping[str, str], ends: bool
) -> None:
    monkeypatch.setattr(renewal, "hurry", lambda *_: None)
    monkeypatch.setattr(renewal, "shown", lambda *_: seen)
    site: Any = SimpleNamespace(certificate_serial=lambda *_: "new")
    with contextlib.nullcontext() if ends else pytest.raises(TimedOut):
        renewal.take_up(site, Shown(), 0.05)


@pytest.mark.parametrize(
    ("trust", "did"),
    [
        (Trust.NONE, ["refreshed"]),
        (Trust.RUNNING, ["refreshed", "trust taken up"]),
        (Trust.AT_START, ["refreshed", "replaced", "former pods gone", "others told"]),
    ],
)
def test_a_new_ca_reaches_each_component_in_its_own_way(
    site: Any, rollout: Done, monkeypatch: pytest.MonkeyPatch, trust: Trust, did: list[str]
) -> None:
    class Told(Shown):
        def retrust(self, site: Any) -> None:
            rollout.did.append("others told")

    Told.trust = trust
    site.refresh_ca = lambda *_: rollout.did.append("refreshed")
    site.ca_file = site.authority.ca_file
    monkeypatch.setattr(renewal, "gone", lambda *_: rollout.did.append("former pods gone"))
    monkeypatch.setattr(renewal, "take_up_trust", lambda *_: rollout.did.append("trust taken up"))
    rollout.spread_trust(Told(), Record("digest", ()), quiet)
    assert rollout.did == did


class Failing:
    """A rollout whose first component fails at once, while others have not begun."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failed = threading.Event()

    def renew(self, component: Component, _known: Record, _say: object) -> bool:
        if component.name == "backend":
            self.failed.set()
            raise ClusterError("it does not")
        self.failed.wait(5)
        time.sleep(0.05)  # whoever gives up on the first failure has done so by now
        self.done.append(component.name)
        return True


def test_one_failure_does_not_stop_the_other_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("backend", "frontend", "login", "minio", "postgres", "vault")
    site: Any = SimpleNamespace(profile=SimpleNamespace(components=names), renewing=())
    rollout = Failing()

    @contextlib.contextmanager
    def rolling(_self: Platform) -> Iterator[object]:
        yield rollout, dict.fromkeys(names, Record("", ()))

    monkeypatch.setattr(stack.Platform, "rolling", rolling)
    with pytest.raises(ClusterError, match="it does not"):
        Platform(site, {}).renew(names)
    assert sorted(rollout.done) == sorted(names[1:])


def test_a_component_that_never_got_ready_is_named() -> None:
    profile = SimpleNamespace(components=("backend", "vault"), name="minimal")
    site: Any = SimpleNamespace(profile=profile)
    rollout: Any = SimpleNamespace(inventory=lambda: {"vault": Record("", ())})
    with pytest.raises(UsageError, match=r"backend never got ready.*--profile minimal"):
        Platform(site, {})._whole(rollout)
