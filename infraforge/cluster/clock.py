"""Whether this machine and the cluster agree on what time it is: certificates are made here."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Callable, Mapping

from kubernetes import client

from infraforge.errors import UsageError

MOST = datetime.timedelta(minutes=2)
"""Less than certificates are dated back (five minutes, see `pki`)."""


def now() -> datetime.datetime:
    """This machine's clock."""
    return datetime.datetime.now(datetime.UTC)


def check(api: client.ApiClient, clock: Callable[[], datetime.datetime] = now) -> None:
    """Raise UsageError where the two differ by more than `MOST`.

    By a clock that is ahead, certificates are made that nobody in the cluster takes yet; by one
    that is behind, nothing that the cluster shows is taken here. The cluster's time is the `Date`
    of an answer of its API server (RFC 9110 6.6.1); where it says none, nothing is known.
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
            f"certificates made on one are not valid on the other; set it, e.g. by: "
            f"timedatectl set-ntp true"
        )
