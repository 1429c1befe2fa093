"""Response headers whose value comes from users."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse

_TOKEN = re.compile(r"[^A-Za-z0-9._ -]")


def attachment(name: str) -> str:
    """Content-Disposition that offers `name` for saving (RFC 6266, RFC 8187).

    The plain form is ASCII without quotes or backslashes; the starred one is the name itself.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = _TOKEN.sub("_", plain).strip() or "file"
    encoded = urllib.parse.quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
