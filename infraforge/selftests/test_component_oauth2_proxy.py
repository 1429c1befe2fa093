"""OAuth2 Proxy: what it is told about the sentinels, and by whom its passwords are handed over."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from infraforge.cluster import manifests
from infraforge.components import oauth2_proxy
from infraforge.components import rendered as rendering
from infraforge.components.oauth2_proxy import OAuth2Proxy
from infraforge.components.redis_sessions import RedisSessions
from infraforge.components.site import Site
from infraforge.profile import Profile

TREE = Path(__file__).parents[2] / "platform"
KUBECTL = shutil.which("kubectl") or ""
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="no kubectl on this machine")
SINGLE = ("minimal", "minimal-ldap", "standard")
SEVERAL = ("professional", "enterprise")
PREFIX = "OAUTH2_PROXY_REDIS_SENTINEL_"
DOMAIN = "redis-sentinel-internal.infraforge-access.svc.cluster.local"


class AnyDigest(dict[str, str]):
    def get(self, key: str, default: Any = None) -> str:
        return f"sha256:{'0' * 64}"


def rendered(profile: str, monkeypatch: pytest.MonkeyPatch) -> list[manifests.Object]:
    monkeypatch.setattr(rendering.tools, "kubectl", lambda _: Path(KUBECTL))
    loaded = Profile.load(profile, TREE)
    return rendering.rendered("oauth2-proxy", loaded, TREE, rendering.Images(AnyDigest()), [])


def told(objects: list[manifests.Object], container: str) -> Mapping[str, str]:
    """The settings that a container gets from ConfigMaps as environment."""
    maps = {item["metadata"]["name"]: item for item in objects if item["kind"] == "ConfigMap"}
    [workload] = [item for item in objects if item["kind"] == "Deployment"]
    [box] = [one for one in manifests.containers(workload) if one["name"] == container]
    found: dict[str, str] = {}
    for source in box.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]["data"]
    return found


def seconds(text: str) -> float:
    assert re.fullmatch(r"\d+s", text), text
    return float(text.removesuffix("s"))


# what is told


@needs_kubectl
@pytest.mark.parametrize("profile", SINGLE)
def test_a_single_store_is_asked_directly(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Profile.load(profile, TREE).components["oauth2-proxy"].get("overlays")
    objects = rendered(profile, monkeypatch)
    kinds = sorted(item["kind"] for item in objects)
    assert kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"]
    assert "sentinel" not in str(objects).lower()


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
def test_both_processes_ask_the_same_sentinels_over_verified_tls(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered(profile, monkeypatch)
    settings = told(objects, "oauth2-proxy")
    assert told(objects, "check") == settings
    assert settings["OAUTH2_PROXY_REDIS_USE_SENTINEL"] == "true"
    assert settings[f"{PREFIX}MASTER_NAME"] == "sessions"
    assert settings[f"{PREFIX}USERNAME"] == "client"
    urls = [urlsplit(url) for url in settings[f"{PREFIX}CONNECTION_URLS"].split(",")]
    count = Profile.load(profile, TREE).components.get("redis-sentinel", {}).get("replicas", 3)
    assert [url.netloc for url in urls] == [
        f"redis-sentinel-{number}.{DOMAIN}:26379" for number in range(count)
    ]
    assert {url.scheme for url in urls} == {"rediss"}
    # one address' timeouts are taken for all
    assert len({url.query for url in urls}) == 1
    assert "insecure_skip_tls" not in str(objects).lower()


@needs_kubectl
def test_an_answer_comes_before_the_ingress_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives up first cannot say that it was the store that failed."""
    settings = told(rendered("professional", monkeypatch), "check")
    ingress = (TREE / "components" / "ingress" / "nginx.conf").read_text()
    [waits] = re.findall(r"location = /_auth \{[^}]*proxy_read_timeout (\d+s);", ingress)
    whole = seconds(settings[f"{PREFIX}ANSWER_TIMEOUT"])
    assert whole < seconds(waits)
    asked = {
        key: value
        for key, [value] in parse_qs(
            urlsplit(settings[f"{PREFIX}CONNECTION_URLS"].split(",")[0]).query
        ).items()
    }
    assert asked.keys() == {"dial_timeout", "read_timeout", "write_timeout", "max_retries"}
    # a silent connection, a silent sentinel, and what comes after them
    assert 3 * seconds(asked["read_timeout"]) <= whole
    assert seconds(asked["dial_timeout"]) <= seconds(asked["read_timeout"])
    assert asked["max_retries"] == "1"


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
def test_a_store_that_fails_ends_no_session(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for container in ("oauth2-proxy", "check"):
        settings = told(rendered(profile, monkeypatch), container)
        assert settings["OAUTH2_PROXY_REDIS_FAILURE_UNAVAILABLE"] == "true"


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
def test_passwords_come_from_its_secret_alone(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered(profile, monkeypatch)
    [workload] = [item for item in objects if item["kind"] == "Deployment"]
    for container in manifests.containers(workload):
        env = {one["name"]: one for one in container["env"]}
        secret = env[f"{PREFIX}PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": "oauth2-proxy", "key": "sentinel-password"}
        assert not [arg for arg in container["args"] if "password" in arg or "redis" in arg]
        assert not [name for name in told(objects, container["name"]) if "PASSWORD" in name]


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
def test_it_reaches_sentinels_and_members(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {
        (peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"], port["port"])
        for item in rendered(profile, monkeypatch)
        if item["kind"] == "NetworkPolicy"
        for rule in item["spec"].get("egress", ())
        for peer in rule["to"]
        for port in rule["ports"]
    }
    assert reached == {("redis-sessions", 6379), ("redis-sentinel", 26379), ("vault", 8200)}


# what it is made of


def test_the_image_is_built_with_its_patches() -> None:
    """No published image has the settings: one that was pulled would stop at an unknown one."""
    image = tomllib.loads((TREE / "images" / "images.toml").read_text())["images"]["oauth2-proxy"]
    assert "upstream" not in image
    folder = TREE / "images" / "modules" / "oauth2-proxy"
    copies = tomllib.loads((folder / "module.toml").read_text())["copies"]
    replaced = dict(
        re.findall(r"^replace (\S+) => \./copies/(\S+)$", (folder / "go.mod").read_text(), re.M)
    )
    assert {module: name for name, (module, _, _) in copies.items()} == replaced
    for name in copies:
        assert list((folder / "patches" / name).glob("*.patch")), name
    added = "".join(path.read_text() for path in (folder / "patches").rglob("*.patch"))
    overlay = TREE / "components" / "oauth2-proxy" / "overlays" / "sentinels" / "sentinels.env"
    for own in ("sentinel-username", "sentinel-answer-timeout", "failure-unavailable"):
        assert f'flag:"redis-{own}"' in added
        assert f"\nOAUTH2_PROXY_REDIS_{own.upper().replace('-', '_')}=" in overlay.read_text()


# its Secret


@pytest.mark.parametrize("profile", [*SINGLE, *SEVERAL])
def test_only_who_asks_sentinels_is_given_a_password_for_them(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets: dict[str, dict[str, str]] = {"redis-sentinel": {"observer": "of the observer"}}

    def secret(name: str, namespace: str, make: Any) -> dict[str, str]:
        return secrets.setdefault(name, make())

    site = cast(
        Site,
        SimpleNamespace(
            profile=Profile.load(profile, TREE),
            vault=lambda: None,
            secret=secret,
            read_secret=lambda name, namespace: secrets.get(name),
            write_secret=lambda name, namespace, data: secrets.__setitem__(name, dict(data)),
        ),
    )
    client = SimpleNamespace(client_id="i", client_secret="s")
    monkeypatch.setattr(oauth2_proxy.vault_identity, "client_credentials", lambda _: client)
    monkeypatch.setattr(RedisSessions, "credentials", lambda self, site, user: (user, f"of {user}"))
    OAuth2Proxy().prepare(site)
    several = profile in SEVERAL
    assert ("sentinel-password" in secrets["oauth2-proxy"]) is several
    assert OAuth2Proxy().given(site) == ("sentinels" if several else "")
    if several:
        password = secrets["oauth2-proxy"]["sentinel-password"]
        assert secrets["redis-sentinel"] == {"observer": "of the observer", "client": password}
    before = dict(secrets["oauth2-proxy"])
    OAuth2Proxy().prepare(site)
    assert secrets["oauth2-proxy"] == before
