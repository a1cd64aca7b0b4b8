"""A certificate authority of our own and the server certificates it signs, good and bad ones.

Certificates satisfy ``VERIFY_X509_STRICT`` (Python 3.13's default). Keys are P-256: made in a millisecond, nothing is shared
between runs unless a directory is.
"""

import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A server's certificate and private key, both PEM."""

    certificate: bytes
    key: bytes

    def context(self) -> ssl.SSLContext:
        """A server-side TLS context. OpenSSL reads files only, so the key lies in a private folder for a moment."""
        with tempfile.TemporaryDirectory(prefix="warmup-identity-") as folder:
            pem = Path(folder) / "identity.pem"
            pem.touch(mode=0o600)
            pem.write_bytes(self.certificate + self.key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(pem)
        return context


class Authority:
    """Signs server certificates. ``pem`` is what clients must trust."""

    def __init__(self, name: str = "warmup-fleet test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self._certificate = (
            _builder(self._subject, self._subject, self._key.public_key(), now - _DAY, now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, expired: bool = False, strict: bool = True) -> Identity:
        """A certificate for these DNS names or addresses; ``expired``: its last day was yesterday.

        ``strict`` False: it does not say whose it is, which RFC 5280 asks for and many a private authority leaves out.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        end = datetime.now(UTC) + (-_DAY if expired else 365 * _DAY)
        builder = (
            _builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]),
                self._subject,
                key.public_key(),
                end - 366 * _DAY,
                end,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        )
        if strict:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identity(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def client_context(self) -> ssl.SSLContext:
        """A client-side context that trusts this authority and nobody else."""
        return ssl.create_default_context(cadata=self.pem.decode())


def in_directory(directory: Path, *names: str) -> Identity:
    """The identity that lies in ``directory`` as ca.crt, tls.crt and tls.key; made there when there is none."""
    certificate, key = directory / "tls.crt", directory / "tls.key"
    if certificate.exists() and key.exists():
        return Identity(certificate.read_bytes(), key.read_bytes())
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority()
    identity = authority.issue(*names)
    (directory / "ca.crt").write_bytes(authority.pem)
    certificate.write_bytes(identity.certificate)
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(identity.key)
    return identity


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
