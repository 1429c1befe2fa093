"""Certificate authorities: one for each platform, and one for what a machine's platforms share.

ECDSA P-256 throughout; a CA is valid for a year, leaf certificates for 90 days (RFC 5280 profiles).
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infraforge import files
from infraforge.errors import UsageError

CA_LIFE = datetime.timedelta(days=365)
LEAF_LIFE = datetime.timedelta(days=90)
RENEW_BEFORE = datetime.timedelta(days=7)
_SKEW = datetime.timedelta(minutes=5)


def _unusable(folder: Path, why: str) -> str:
    return (
        f"{folder}: the CA kept there is damaged ({why}); restore its files from a backup, or "
        f"start over: infraforge down (with the platform's --name), then infraforge up"
    )


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    cert_pem: str
    key_pem: str


class Authority:
    """Issues certificates. Its key never leaves `ca_file`'s folder (mode 0700, files 0600).

    ca_file: the trusted certificates (PEM). During a rotation it holds the old and the new CA; the
    one whose key is kept here issues.
    """

    def __init__(
        self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.ca_file = folder / "ca.crt"
        self._certificate = certificate
        self._key = key

    @classmethod
    def load_or_create(cls, folder: Path) -> Authority:
        """The authority kept in `folder`; created there if there is none.

        Raises UsageError for damaged files.
        """
        if not (folder / "ca.key").exists():
            make_ca(folder)
        try:
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
            certificates = x509.load_pem_x509_certificates((folder / "ca.crt").read_bytes())
        except (ValueError, TypeError, UnsupportedAlgorithm, FileNotFoundError) as error:
            raise UsageError(_unusable(folder, str(error))) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError(_unusable(folder, "its key is not an EC key"))
        for certificate in certificates:
            if certificate.public_key() == key.public_key():
                return cls(folder, certificate, key)
        raise UsageError(_unusable(folder, "the key belongs to none of the certificates"))

    @property
    def certificate(self) -> x509.Certificate:
        """The CA certificate that issues."""
        return self._certificate

    @classmethod
    def copy(cls, source: Path, folder: Path) -> Authority:
        """Copy the authority kept in `source` to `folder`; both are valid afterwards."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("ca.crt", "ca.key"):  # the key last, as in `make_ca`
            write_private(folder / name, (source / name).read_text())
        return cls.load_or_create(folder)

    def issue(
        self,
        names: Sequence[str],
        ips: Sequence[str] = (),
        life: datetime.timedelta = LEAF_LIFE,
    ) -> Pair:
        """A server certificate for the DNS names and IP addresses, valid for `life` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0][:64]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + life) - _SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectAlternativeName(_sans(names, ips)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(_pem(certificate), _key_pem(key))

    def vouches_for(
        self,
        cert_pem: str,
        names: Sequence[str],
        ips: Sequence[str],
        life: datetime.timedelta = LEAF_LIFE,
    ) -> bool:
        """True for a certificate of this CA that covers these names and is not near its end.

        life: its intended total validity; a certificate with another one is rejected.
        """
        try:
            certificate = x509.load_pem_x509_certificate(cert_pem.encode())
            certificate.verify_directly_issued_by(self._certificate)
            sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        has = set(sans.value.get_values_for_type(x509.DNSName))
        addresses = {str(ip) for ip in sans.value.get_values_for_type(x509.IPAddress)}
        lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        end = certificate.not_valid_after_utc - RENEW_BEFORE
        in_time = datetime.datetime.now(datetime.UTC) < end and abs(lives - life) < 2 * _SKEW
        return in_time and has >= set(names) and addresses >= set(ips)


def serial_of(cert_pem: str) -> str:
    """The certificate's serial number, in hex."""
    return f"{x509.load_pem_x509_certificate(cert_pem.encode()).serial_number:x}"


def make_ca(folder: Path) -> None:
    """Create a CA in the folder, replacing any that is there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    # a name of its own: some clients confuse two CAs with the same name
    name = _name(f"InfraForge platform CA {secrets.token_hex(4)}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The key comes last: where the key exists, the certificate does too.
    write_private(folder / "ca.crt", _pem(certificate))
    write_private(folder / "ca.key", _key_pem(key))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, text, 0o600)


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _sans(names: Sequence[str], ips: Sequence[str]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips),
    ]


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
