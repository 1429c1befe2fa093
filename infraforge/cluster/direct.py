"""Hosts that are never reached through a proxy: this machine and the nodes' networks.

Proxies come from the environment, and every client reads it by itself: the Kubernetes client,
requests (and with it hvac), Selenium, kubectl and other child processes. NO_PROXY is therefore the
one place to set, in both spellings, because most programs read only one of them.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.parse

LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
_SPELLINGS = ("no_proxy", "NO_PROXY")


def keep(*hosts: str) -> None:
    """Make this process and its children reach this machine and `hosts` without a proxy.

    hosts: names, addresses or networks in CIDR notation. Entries that the user set are kept.
    """
    said = [item.strip() for name in _SPELLINGS for item in os.environ.get(name, "").split(",")]
    joined = ",".join(dict.fromkeys(item for item in (*said, *LOOPBACK, *hosts) if item))
    for name in _SPELLINGS:
        os.environ[name] = joined


def keep_private(url: str) -> None:
    """Bypass the proxy for the URL's host where it is an address of a private network.

    An API server at such an address is on the nodes' own network. One with a name may well be
    behind a proxy.
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        private = ipaddress.ip_address(host).is_private
    except ValueError:
        private = False
    keep(*([host] if private else []))


def without_proxies(environment: dict[str, str]) -> dict[str, str]:
    """The environment without any proxy variable."""
    return {name: value for name, value in environment.items() if not _is_proxy(name)}


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")
