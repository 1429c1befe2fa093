"""The CA's rotation, phase by phase and killed in each; and which manifests mount the CA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infraforge import components, stack
from infraforge.cluster import rotation, state
from infraforge.cluster.pki import Authority
from infraforge.cluster.rotation import Phase, Rotation
from infraforge.components.base import CA_FILE, Trust
from infraforge.errors import UsageError

FOLDERS = Path(__file__).parents[2] / "platform" / "components"


def trusted(folder: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((folder / "ca.crt").read_bytes())


def good_for(cert_pem: str, folder: Path) -> bool:
    """Whether somebody who trusts what is in the folder takes the certificate."""
    leaf = x509.load_pem_x509_certificate(cert_pem.encode())
    for ca in trusted(folder):
        try:
            leaf.verify_directly_issued_by(ca)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


def test_no_certificate_in_use_is_ever_untrusted(tmp_path: Path) -> None:
    old = Authority.load_or_create(tmp_path)
    shown, before = {"old": old.issue(["a"]).cert_pem}, old.certificate
    seen = {}
    for phase in Rotation(tmp_path).phases():
        now = Authority.load_or_create(tmp_path)
        seen[phase] = (len(trusted(tmp_path)), now.certificate == before)
        if phase is not Phase.DROP:
            assert good_for(shown["old"], tmp_path)
        assert good_for(now.issue(["a"]).cert_pem, tmp_path)
    assert seen == {Phase.TRUST: (2, True), Phase.ISSUE: (2, False), Phase.DROP: (1, False)}
    assert not good_for(shown["old"], tmp_path)
    assert Rotation(tmp_path).phase is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "ca.key"]


@pytest.mark.parametrize("killed_in", list(Phase))
def test_a_run_that_was_killed_is_continued_in_its_phase(tmp_path: Path, killed_in: Phase) -> None:
    Authority.load_or_create(tmp_path)
    for phase in Rotation(tmp_path).phases():
        if phase is killed_in:
            break
    next_ca = (tmp_path / "next" / "ca.crt").read_text()
    again = Rotation(tmp_path)
    assert again.phase is killed_in
    left = list(again.phases())
    assert left == list(Phase)[list(Phase).index(killed_in) :]
    assert (tmp_path / "ca.crt").read_text() == next_ca
    assert Authority.load_or_create(tmp_path).certificate == trusted(tmp_path)[0]


class Killed(Exception):
    """Where a write was to be."""


@pytest.mark.parametrize("writes", range(9))
def test_a_run_that_was_killed_between_two_writes_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    before = Authority.load_or_create(tmp_path).certificate
    real, left = rotation.write_private, [writes]

    def write(path: Path, text: str) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        real(path, text)

    monkeypatch.setattr(rotation, "write_private", write)
    with contextlib.suppress(Killed):
        list(Rotation(tmp_path).phases())
    monkeypatch.undo()
    # whoever issues in between is trusted
    now = Authority.load_or_create(tmp_path)
    assert good_for(now.issue(["a"]).cert_pem, tmp_path)
    if Rotation(tmp_path).phase:
        list(Rotation(tmp_path).phases())
        assert Authority.load_or_create(tmp_path).certificate != before
    assert trusted(tmp_path) == [Authority.load_or_create(tmp_path).certificate]


class Phases:
    """A platform that notes in which phase it was asked for what."""

    def __init__(self, name: str, *, whole: bool = True) -> None:
        self.name = name
        self.whole = whole
        self.did: list[str] = []
        self.site = contextlib.nullcontext()
        self.site.close = lambda: None  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def rolling(self) -> Iterator[None]:
        if not self.whole:
            raise UsageError("backend never got ready here")
        yield

    def renew(self, names: Iterable[str], _progress: object) -> None:
        assert not list(names), "the new CA's for all, by themselves"
        self.did.append(f"{stack.ca_phase(self.name)}: renew")

    def spread_trust(self, _progress: object) -> None:
        self.did.append(f"{stack.ca_phase(self.name)}: spread trust")

    def wait_open(self, _progress: object) -> None:
        self.did.append("the way in")


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a platform's CA, of this test's own."""
    monkeypatch.setattr(state, "cluster_dir", lambda _name: tmp_path)
    monkeypatch.setattr(state, "locked", lambda _name: contextlib.nullcontext())
    Authority.load_or_create(tmp_path / "ca")
    return tmp_path / "ca"


def test_each_phase_reaches_all_components(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Phases("it")
    monkeypatch.setattr(stack.known, "attach", lambda *_: platform)
    stack.replace_ca("it")
    phases = ["trust: spread trust", "issue: renew", "drop: spread trust"]
    assert platform.did == [*phases, "the way in"]
    assert stack.ca_phase("it") is None


def test_nothing_is_begun_where_a_component_is_missing(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (at_home / "ca.crt").read_text()
    monkeypatch.setattr(stack.known, "attach", lambda *_: Phases("it", whole=False))
    with pytest.raises(UsageError):
        stack.replace_ca("it")
    assert stack.ca_phase("it") is None
    assert (at_home / "ca.crt").read_text() == before


def test_a_key_without_its_certificate_is_reported(tmp_path: Path) -> None:
    one = Authority.load_or_create(tmp_path / "one")
    Authority.load_or_create(tmp_path / "two")
    (tmp_path / "two" / "ca.crt").write_bytes(one.ca_file.read_bytes())
    with pytest.raises(UsageError, match="belongs to none"):
        Authority.load_or_create(tmp_path / "two")


def test_a_copy_is_the_same_authority(tmp_path: Path) -> None:
    one = Authority.load_or_create(tmp_path / "one")
    other = Authority.copy(tmp_path / "one", tmp_path / "two")
    assert other.certificate == one.certificate
    assert (tmp_path / "two" / "ca.key").stat().st_mode & 0o077 == 0


def workloads(folder: Path) -> Iterator[Any]:
    for path in folder.rglob("*.yaml"):
        if "overlays" in path.parts:  # patches: parts of a workload
            continue
        for item in yaml.safe_load_all(path.read_text()):
            if item and item["kind"] in ("Deployment", "StatefulSet"):
                yield item["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDERS.iterdir()))
def test_a_component_with_trusted_cas_adopts_another_ca(name: str) -> None:
    mounts = {
        mount["mountPath"]
        for pod in workloads(FOLDERS / name)
        for box in pod["containers"]
        for mount in box["volumeMounts"]
    }
    told = str(Path(CA_FILE).parent) in mounts
    assert (components.load(name).trust is not Trust.NONE) == told


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDERS.iterdir()))
def test_a_component_with_a_certificate_says_where_it_shows_it(name: str) -> None:
    component = components.load(name)
    ports = {
        port["containerPort"]
        for pod in workloads(FOLDERS / name)
        for box in pod["containers"]
        for port in box.get("ports", ())
    }
    mounts = [
        mount
        for pod in workloads(FOLDERS / name)
        for box in pod["containers"]
        for mount in box["volumeMounts"]
        if mount["name"] == "tls"
    ]
    assert bool(component.listens) == bool(mounts)
    assert {listener.port for listener in component.listens} <= ports
