"""The TLS versions and ciphers that a server accepts, tested by offering one at a time."""

from __future__ import annotations

import socket
import ssl
import urllib.parse
import warnings
from collections.abc import Collection
from pathlib import Path

from infraforge.table import Cell

SPOKEN, REFUSED = "spoken", "refused"
_NO = ("TLSV1_ALERT_PROTOCOL_VERSION",)
_NO_CIPHER = (  # OpenSSL 3.2 renamed them
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSL/TLS_ALERT_HANDSHAKE_FAILURE",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY",
)
_EVERY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"  # everything that this client supports, however weak
_NOT_OFFERED = ("PSK", "SRP")  # they need a secret that this client does not have


def speaks(origin: str, ca_file: Path, version: ssl.TLSVersion, timeout: float = 10.0) -> Cell:
    """spoken, refused (the server said so), or None where neither was seen.

    This client's own refusal to offer an old version never counts as the server's.
    """
    trust = ssl.create_default_context(cafile=str(ca_file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are offered on purpose
        trust.minimum_version = trust.maximum_version = version
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")  # else this client would not even offer it
    return _shake(origin, trust, _NO, timeout)


def ciphers() -> tuple[str, ...]:
    """Every TLS 1.2 cipher that this client can offer, by OpenSSL's name."""
    trust = ssl.create_default_context()
    trust.set_ciphers(_EVERY)
    return tuple(
        str(item["name"])
        for item in trust.get_ciphers()
        if item["protocol"] != "TLSv1.3" and not any(word in item["name"] for word in _NOT_OFFERED)
    )


def speaks_cipher(origin: str, ca_file: Path, cipher: str, timeout: float = 10.0) -> Cell:
    """spoken, refused (the server said so), or None, when `cipher` is the only TLS 1.2 offer."""
    trust = ssl.create_default_context(cafile=str(ca_file))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trust.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    trust.set_ciphers(f"{cipher}:@SECLEVEL=0")
    return _shake(origin, trust, (*_NO, *_NO_CIPHER), timeout)


def _shake(origin: str, trust: ssl.SSLContext, no: Collection[str], timeout: float) -> Cell:
    where = urllib.parse.urlsplit(origin)
    try:
        with (
            socket.create_connection((where.hostname or "", where.port or 443), timeout) as plain,
            trust.wrap_socket(plain, server_hostname=where.hostname),
        ):
            return SPOKEN
    except ssl.SSLError as error:
        return REFUSED if error.reason in no else None
    except OSError:
        return None
