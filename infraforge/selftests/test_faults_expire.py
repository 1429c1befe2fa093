"""A certificate that runs out, against a component that is made of a Secret and what it shows."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from infraforge import components, faults
from infraforge.cluster.pki import Authority, serial_of
from infraforge.components import containers, renewal
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import expire


class World(SimpleNamespace):
    """secret: of the component; shows: the certificate that it took up; reloads: whether it can."""

    def __init__(self, folder: Path) -> None:
        super().__init__(authority=Authority.load_or_create(folder), tree=folder, renewing=())
        self.secret = self.issued()
        self.shows = self.secret["tls.crt"]
        self.reloads = True
        self.deleted: list[str] = []
        self.core = SimpleNamespace(delete_namespaced_pod=self.delete)
        self.good_certificate = Site.good_certificate.__get__(self)
        self.renewed = 0

    def issued(self) -> dict[str, str]:
        pair = self.authority.issue(["redis-cache", "localhost"], ["127.0.0.1"])
        return {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem, "ca.crt": "ca"}

    def read_secret(self, name: str, namespace: str) -> dict[str, str]:
        assert name == "redis-cache-tls"
        return self.secret

    def write_secret(self, name: str, namespace: str, values: Any, kind: str) -> None:
        assert kind == "kubernetes.io/tls"
        self.secret = dict(values)

    def delete(self, name: str, namespace: str) -> None:
        self.deleted.append(name)
        self.shows = self.secret["tls.crt"]

    def reload(self) -> None:
        if self.expired():
            raise ClusterError("nobody can tell it anything")
        if self.reloads:
            self.shows = self.secret["tls.crt"]

    def expired(self) -> bool:
        found = x509.load_pem_x509_certificate(self.shows.encode())
        return found.not_valid_after_utc < datetime.datetime.now(datetime.UTC)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World(tmp_path)
    component = SimpleNamespace(
        name="redis-cache",
        namespace="infraforge-data",
        reloads=True,
        reload=lambda site: site.reload(),
        certify=lambda site: setattr(site, "secret", site.issued()),
    )
    pod = SimpleNamespace(metadata=SimpleNamespace(name="redis-cache-0", namespace="x"))
    monkeypatch.setattr(components, "load", lambda name: component)
    monkeypatch.setattr(containers, "pods", lambda site, name, **_: [pod])
    monkeypatch.setattr(renewal, "hurry", lambda *_: None)
    monkeypatch.setattr(renewal, "out_of_time", lambda site, _: site.expired())
    monkeypatch.setattr(renewal, "shown", lambda site, _: {"redis": serial_of(site.shows)})
    monkeypatch.setattr(expire, "_TAKEN_UP_WITHIN", 0.2)

    def renew(self: faults.RenewCertificate, site: World) -> None:
        site.renewed += 1

    monkeypatch.setattr(faults.RenewCertificate, "perform", renew)
    return made


def test_what_is_shown_has_run_out_for_the_same_names_and_is_made_good_again(world: Any) -> None:
    aimed = faults.CertificateExpired("redis-cache").aim(world)
    assert aimed.took_effect(world) == ""
    aimed.strike(world)
    assert aimed.took_effect(world) == "redis-cache shows a certificate that has run out"
    names = x509.load_pem_x509_certificate(world.shows.encode()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["redis-cache", "localhost"]
    assert world.secret["ca.crt"] == "ca"
    aimed.undo.perform(world)
    assert (world.deleted, world.renewed, world.expired()) == (["redis-cache-0"], 1, False)


def test_nothing_is_undone_where_a_good_one_is_shown(world: Any) -> None:
    faults.GoodCertificate("redis-cache").perform(world)
    assert (world.deleted, world.renewed) == ([], 0)


def test_one_that_is_only_stored_is_renewed_as_it_runs(world: Any) -> None:
    world.secret = world.issued()
    faults.GoodCertificate("redis-cache").perform(world)
    assert (world.deleted, world.renewed) == ([], 1)


def test_one_that_does_not_take_it_up_has_not_been_struck(world: Any) -> None:
    world.reloads = False
    aimed = faults.CertificateExpired("redis-cache").aim(world)
    with pytest.raises(Exception, match="redis-cache shows it"):
        aimed.strike(world)
    assert aimed.took_effect(world) == ""


def test_without_a_good_certificate_nothing_is_struck(world: Any) -> None:
    world.authority = Authority.load_or_create(world.tree / "other")
    with pytest.raises(ClusterError, match="no good certificate"):
        faults.CertificateExpired("redis-cache").aim(world)
