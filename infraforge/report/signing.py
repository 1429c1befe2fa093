"""The signature of a bundle: an in-toto statement about the run in a DSSE envelope (ed25519).

The key belongs to the user, not to a platform: it is in `~/.config/infraforge` (or below
XDG_CONFIG_HOME), is made at first use, and no command removes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from infraforge import places
from infraforge.errors import UsageError
from infraforge.report.index import Index
from infraforge.verdict import Outcome

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Signer:
    """A private key, and the file of its public half (path)."""

    key: Ed25519PrivateKey
    path: Path

    @property
    def public(self) -> Ed25519PublicKey:
        return self.key.public_key()


def default_key() -> Path:
    """The path of the user's own signing key, whether or not it exists."""
    chosen = os.environ.get("XDG_CONFIG_HOME")
    base = Path(chosen) if chosen else places.home() / ".config"
    return base / "infraforge" / "signing.key"


def signer(path: Path | None = None) -> Signer:
    """The key in `path`, which must exist; by default the user's own, made at first use.

    Raises UsageError for a file that is not an unencrypted ed25519 key in PEM, or that others can
    read.
    """
    chosen = path or default_key()
    try:
        if path is None and not chosen.exists():
            _make(chosen)
        mode = stat.S_IMODE(chosen.stat().st_mode)
        data = chosen.read_bytes()
    except OSError as error:
        raise UsageError(f"signing key {chosen}: {error.strerror or error}") from error
    if mode & 0o077:
        raise UsageError(f"signing key {chosen} can be read by others; run: chmod 600 {chosen}")
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"signing key {chosen} is not an unencrypted key in PEM: {error}; make one: "
            f"openssl genpkey -algorithm ed25519 -out FILE"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"signing key {chosen} is not ed25519; make one: "
            f"openssl genpkey -algorithm ed25519 -out FILE"
        )
    public = chosen.with_suffix(".pub")
    if path is None and not public.exists():
        public.write_bytes(pem(key.public_key()))
    return Signer(key, public if public.exists() else chosen)


def public_key(data: bytes) -> Ed25519PublicKey:
    """The ed25519 key of a PEM file. Raises ValueError for anything else."""
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not a public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an ed25519 key")  # noqa: TRY004 - of a file, not of an argument
    return key


def pem(key: Ed25519PublicKey) -> bytes:
    """The key as text, in the format that `openssl pkey -pubin` reads."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key (DER) in hexadecimal, for comparison over another channel."""
    return hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).hexdigest()


def statement(index: Index, manifest: bytes, members: Mapping[str, str]) -> dict[str, Any]:
    """The in-toto statement (test-result v0.1) about a run whose bundle has this manifest.

    members: the run's configuration, name in the bundle → SHA-256. Only exit code 0 is PASSED;
    3 (this cluster cannot run some tests) is WARNED. An unknown test is listed as failed, and a
    skipped one is in no list: neither ever passes.
    """
    code = index.concluded.exit_code
    said = {outcome: _named(index, outcome) for outcome in Outcome}
    subject = [{"name": "MANIFEST.sha256", "digest": {"sha256": _sha256(manifest)}}]
    if index.commit:
        subject.append({"name": "source", "digest": {"gitCommit": index.commit}})
    configuration = [
        {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(members.items())
    ]
    configuration += [
        {"name": reference, "digest": {"sha256": digest.removeprefix("sha256:")}}
        for reference, digest in sorted(index.images.items())
        if digest.startswith("sha256:")
    ]
    return {
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": {
            "result": {0: "PASSED", 3: "WARNED"}.get(-1 if code is None else code, "FAILED"),
            "configuration": configuration,
            "passedTests": said[Outcome.HOLDS],
            "warnedTests": [],
            "failedTests": sorted(said[Outcome.BROKEN] + said[Outcome.UNKNOWN]),
        },
    }


def seal(said: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The statement in a signed DSSE envelope."""
    body = _canonical(said)
    signature = {
        "keyid": fingerprint(key.public_key()),
        "sig": base64.b64encode(key.sign(_pae(body))).decode(),
    }
    envelope = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": PAYLOAD,
        "signatures": [signature],
    }
    return _canonical(envelope) + b"\n"


def opened(envelope: bytes, key: Ed25519PublicKey) -> dict[str, Any]:
    """The statement in the envelope. Raises ValueError unless `key` signed exactly this."""
    try:
        envelope_fields = json.loads(envelope)
        body = base64.b64decode(envelope_fields["payload"], validate=True)
        (signature,) = envelope_fields["signatures"]
        key.verify(base64.b64decode(signature["sig"], validate=True), _pae(body))
        said = json.loads(body)
        keyid = signature["keyid"]
    except InvalidSignature:
        raise ValueError(f"not signed by the key {fingerprint(key)}") from None
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"not a signed statement: {type(error).__name__}: {error}") from error
    rewritten = {
        "payload": base64.b64encode(_canonical(said)).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"keyid": fingerprint(key), "sig": signature["sig"]}],
    }
    if keyid != fingerprint(key) or _canonical(rewritten) + b"\n" != envelope:
        raise ValueError("not in the form in which such a statement is written")
    if not isinstance(said, dict):
        raise ValueError("not a signed statement: not an object")  # noqa: TRY004 - of a file
    return said


def _make(path: Path) -> None:
    """Make a key, whole or not at all, readable by its owner alone; keep one made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with tempfile.NamedTemporaryFile(dir=path.parent) as aside:  # mode 0600
        aside.write(text)
        aside.flush()
        try:
            os.link(aside.name, path)
        except FileExistsError:
            return


def _named(index: Index, outcome: Outcome) -> list[str]:
    return sorted(node for node, entry in index.tests.items() if entry.outcome is outcome)


def _pae(body: bytes) -> bytes:
    """The bytes that DSSE signs: payload type and body, each with its length."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
