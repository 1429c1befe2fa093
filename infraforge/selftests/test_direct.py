"""No client of the harness asks this machine, or the nodes' network, through a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
import requests
import yaml
from kubernetes import client
from selenium.webdriver.remote.client_config import ClientConfig

from infraforge.cluster import direct, kind, network
from infraforge.cluster.base import Presence
from infraforge.cluster.existing import Existing
from infraforge.selftests.stand_ins import Api, kubeconfig, serving
from infraforge.stack import TREE

_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
def proxy() -> Iterator[Api]:
    with serving() as made:
        made.status = 502
        yield made


@pytest.fixture(params=["", "example.com, .corp"], ids=["no NO_PROXY", "a NO_PROXY of the user's"])
def proxied(
    request: pytest.FixtureRequest, proxy: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Api:
    """A machine whose environment names a proxy for everything; that proxy."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    for name in _NAMES:
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, request.param)
    return proxy


def test_without_no_proxy_the_clients_use_the_proxy(proxied: Api, api: Api) -> None:
    """The control: on this machine the proxy would be asked."""
    with pytest.raises(client.ApiException, match="502"):
        client.VersionApi(client.ApiClient(client.Configuration(host=api.url))).get_code()
    assert requests.get(api.url, timeout=5).status_code == 502
    assert ClientConfig(remote_server_addr=api.url).get_proxy_url() == proxied.url
    assert proxied.asked == 2
    assert api.asked == 0


def test_a_platform_is_found_past_the_proxy(proxied: Api, api: Api) -> None:
    kubeconfig(api.url)
    assert kind.Kind("infraforge", TREE).presence() is Presence.ANSWERS
    assert proxied.asked == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_every_client_goes_to_this_machine_directly(proxied: Api, api: Api, host: str) -> None:
    kind.Kind("infraforge", TREE)  # whoever works on a platform makes one, or an Existing
    url = f"http://{host}:{api.server_address[1]}"
    if host != "127.1.2.3":  # nobody listens there, and some know names and suffixes alone
        assert requests.get(url, timeout=5).status_code == 200
        hvac.Client(url=url).sys.read_health_status(method="GET")
        client.VersionApi(client.ApiClient(client.Configuration(host=url))).get_code()
        assert ClientConfig(remote_server_addr=url).get_proxy_url() is None
        child = f"import requests; print(requests.get({url!r}).status_code)"
        argv = [sys.executable, "-c", child]
        assert subprocess.run(argv, capture_output=True, check=True).stdout == b"200\n"
    assert requests.utils.should_bypass_proxies(url, None)
    assert proxied.asked == 0


def test_the_users_own_exceptions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.setenv("no_proxy", ".corp")
    direct.keep("10.0.0.0/8")
    direct.keep("10.0.0.0/8")
    for name in ("NO_PROXY", "no_proxy"):
        parts = os.environ[name].split(",")
        assert {"example.com", ".corp", "10.0.0.0/8", *direct.LOOPBACK} == set(parts)
        assert len(parts) == len(set(parts))


def test_the_nodes_network_is_kept_direct_once_it_is_known(
    proxied: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "subnets", lambda: ["172.20.0.0/16"])
    assert kind.Kind("infraforge", TREE).node_cidrs == ["172.20.0.0/16"]
    assert requests.utils.should_bypass_proxies("https://172.20.0.3:30443", None)
    assert not requests.utils.should_bypass_proxies("https://172.21.0.3:30443", None)


@pytest.mark.parametrize(
    ("server", "through"),
    [
        ("https://127.0.0.1:6443", False),
        ("https://172.18.0.2:6443", False),
        ("https://10.1.2.3:6443", False),
        ("https://8.8.8.8:6443", True),
        ("https://cluster.example:6443", True),
    ],
)
def test_a_brought_clusters_api_server_is_asked_directly_where_it_is_on_its_nodes_network(
    proxied: Api, server: str, through: bool
) -> None:
    kubeconfig(server, "work")
    cluster = Existing(Path(os.environ["INFRAFORGE_STATE"]) / "clusters" / "work" / "kubeconfig")
    assert (proxy_of(cluster) is not None) is through


def test_a_proxy_that_the_kubeconfig_itself_names_is_used(proxied: Api) -> None:
    kubeconfig("https://10.1.2.3:6443", "work")
    path = Path(os.environ["INFRAFORGE_STATE"]) / "clusters" / "work" / "kubeconfig"
    config = yaml.safe_load(path.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = "http://bastion.example:3128"
    path.write_text(yaml.safe_dump(config))
    assert str(proxy_of(Existing(path))) == "http://bastion.example:3128"


def proxy_of(cluster: Existing) -> object:
    return getattr(cluster._api.rest_client.pool_manager, "proxy", None)
