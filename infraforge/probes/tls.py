"""Which versions of TLS a server speaks, found by offering one at a time."""

from __future__ import annotations

import socket
import ssl
import urllib.parse
import warnings
from pathlib import Path

from infraforge.table import Cell

SPOKEN, REFUSED = "spoken", "refused"
_NO = "TLSV1_ALERT_PROTOCOL_VERSION"


def speaks(origin: str, ca_file: Path, version: ssl.TLSVersion, timeout: float = 10.0) -> Cell:
    """spoken, refused (the server said so), or None where neither was seen.

    This side's own reluctance to speak an old version is never read as the server's.
    """
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old version is the question
        trust.minimum_version = trust.maximum_version = version
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")  # else this side would not even offer it
    try:
        with (
            socket.create_connection((where.hostname or "", where.port or 443), timeout) as plain,
            trust.wrap_socket(plain, server_hostname=where.hostname),
        ):
            return SPOKEN
    except ssl.SSLError as error:
        return REFUSED if error.reason == _NO else None
    except OSError:
        return None
