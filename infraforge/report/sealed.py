"""Check that a bundle is as it was made: its manifest, its index, and the signature over both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infraforge.report import bundle, signing
from infraforge.report.container import Content
from infraforge.report.examined import Examined
from infraforge.report.index import Index

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def against_manifest(content: Content) -> Iterator[str]:
    """Yield what is damaged, missing or added compared with the manifest."""
    members = content.members
    if bundle.MANIFEST not in members:
        if bundle.MANIFEST not in content.unreadable:
            yield f"{bundle.MANIFEST} is missing"
        return
    listed: dict[str, str] = {}
    for line in members[bundle.MANIFEST].decode(errors="replace").splitlines():
        if match := _LINE.fullmatch(line):
            listed[match[2]] = match[1]
        else:
            yield f"{bundle.MANIFEST} has a line that is none: {ascii(line)[1:-1][:100]}"
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(listed.items()))
    if lines.encode() != members[bundle.MANIFEST]:
        yield f"{bundle.MANIFEST} is not as one is written"
    for name, digest in listed.items():
        if name in members and bundle.sha256(members[name]) != digest:
            yield f"{ascii(name)[1:-1]} was changed"
        elif name not in members and name not in content.unreadable:
            yield f"{ascii(name)[1:-1]} is missing"
    for name in (*members, *sorted(content.unreadable)):
        if name not in listed and name not in bundle.UNSIGNED:
            yield f"{ascii(name)[1:-1]} was added: the manifest does not have it"


def read_index(found: Examined, content: Content) -> None:
    """Read the run's index into `found.index`; a missing or unreadable one is a change."""
    text = content.members.get(bundle.RUN_INDEX)
    if text is None:
        if bundle.RUN_INDEX not in content.unreadable:
            found.changed(f"{bundle.RUN_INDEX} is missing: nothing says what ran")
        return
    try:
        found.index = Index.from_json(text)
    except ValueError as error:
        found.changed(f"{bundle.RUN_INDEX}: {ascii(str(error))[1:-1][:300]}")


def signature(
    found: Examined, members: Mapping[str, bytes], trusted: Ed25519PublicKey | None
) -> None:
    """Check the signature by the trusted key, or else by the bundle's own; record the signer."""
    for name in (bundle.SIGNER, bundle.ATTESTATION):
        if name not in members:
            found.changed(f"{name} cannot be had: the bundle is not signed")
            return
    try:
        own = signing.public_key(members[bundle.SIGNER])
    except ValueError as error:
        found.changed(f"{bundle.SIGNER}: {error}")
        return
    if signing.pem(own) != members[bundle.SIGNER]:
        found.changed(f"{bundle.SIGNER} is not as a key is written")
    if trusted and signing.fingerprint(trusted) != signing.fingerprint(own):
        found.changed(
            f"it is signed by another key: {signing.fingerprint(own)}, not "
            f"{signing.fingerprint(trusted)}"
        )
    try:
        said = signing.opened(members[bundle.ATTESTATION], trusted or own)
    except ValueError as error:
        found.changed(f"{bundle.ATTESTATION}: {error}")
        return
    found.signed_by = signing.fingerprint(trusted or own)
    found.vouched_for = trusted is not None
    known = {bundle.RUN_INDEX, bundle.CROSSWALK, bundle.MANIFEST} <= set(members)
    if found.index and known:
        manifest, settings = members[bundle.MANIFEST], bundle.configuration(members)
        if said != signing.statement(found.index, manifest, settings):
            found.changed(f"{bundle.ATTESTATION} says something else than the run's index")
