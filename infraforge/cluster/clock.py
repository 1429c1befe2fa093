"""Check that this machine and the cluster agree on the time: certificates are made here."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Callable, Mapping

from kubernetes import client

from infraforge.errors import UsageError

MOST = datetime.timedelta(minutes=2)
"""Below the five minutes by which certificates are backdated (see `pki`)."""


def now() -> datetime.datetime:
    """This machine's clock."""
    return datetime.datetime.now(datetime.UTC)


def check(api: client.ApiClient, clock: Callable[[], datetime.datetime] = now) -> None:
    """Raise UsageError where the two clocks differ by more than `MOST`.

    If this machine's clock is ahead, the cluster rejects the certificates made here as not yet
    valid; if it is behind, this machine rejects the cluster's. The cluster's time is the `Date`
    header of an API server response (RFC 9110 6.6.1). Without that header nothing is checked.
    """
    before = clock()
    headers: Mapping[str, str] = client.VersionApi(api).get_code_with_http_info()[2]
    after = clock()
    told = {name.lower(): value for name, value in headers.items()}.get("date")
    if told is None:
        return
    theirs = email.utils.parsedate_to_datetime(told)
    ahead, behind = before - theirs, theirs - after
    if max(ahead, behind) > MOST:
        word, by = ("ahead of", ahead) if ahead > behind else ("behind", behind)
        raise UsageError(
            f"this machine's clock is {by.total_seconds():.0f} s {word} the cluster's, so "
            f"certificates made on one are not valid on the other; synchronise it, e.g. with: "
            f"timedatectl set-ntp true"
        )
