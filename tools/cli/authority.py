"""A throw-away certificate authority for local use: one CA, one certificate per identity."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.errors import UserError
from cli.files import make_private, write_atomic
from kit.settings import SERVICES

IDENTITIES = (*SERVICES, "admin", "platform", "operator", "dashboard", "nats")
CA_NAME = "Laurel local authority"
CA_DAYS = 730
LEAF_DAYS = 397
RENEW_DAYS = 7
# A certificate that is not yet valid on a machine whose clock is a little behind is of no use.
SKEW = timedelta(minutes=5)


def ensure_certificates(folder: Path, identities: Sequence[str] = IDENTITIES) -> None:
    """Makes ca.crt, ca.key and `<identity>.crt`, `<identity>.key` where missing or about to expire.

    Keys are EC P-256, PKCS #8, mode 0600. A new CA renews every certificate of the folder. Raises
    UserError where the CA is somebody else's, who would have to sign; nothing of theirs is touched.
    """
    folder = make_private(folder)
    now = datetime.now(UTC)
    authority = _load_authority(folder, now)
    if authority is None and (theirs := _foreign_ca(folder)):
        _leave_as_it_is(folder, identities, theirs, now)
        return
    authority = authority or _make_authority(folder, now)
    for identity in identities:
        if not _is_good(folder, identity, authority[0], now):
            _issue(folder, identity, authority, now)


Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _load_authority(folder: Path, now: datetime) -> Authority | None:
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    # What it signs lives LEAF_DAYS, and a certificate that outlives its CA fails without a hint.
    lasts = certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
    if not lasts or not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return (certificate, key) if key.public_key() == certificate.public_key() else None


def _foreign_ca(folder: Path) -> x509.Certificate | None:
    """The certificate of a CA that was not made here."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return None if certificate.subject == _name(CA_NAME) else certificate


def _leave_as_it_is(
    folder: Path, identities: Sequence[str], ca: x509.Certificate, now: datetime
) -> None:
    lacking = [name for name in identities if not _is_good(folder, name, ca, now)]
    if lacking:
        raise UserError(
            f"{folder / 'ca.crt'} is of another CA, {ca.subject.rfc4514_string()}, which cannot "
            f"sign here: have it sign {', '.join(lacking)}, or name another folder"
        )


def _make_authority(folder: Path, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(CA_NAME)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, "ca", certificate, key)
    return certificate, key


def _is_good(folder: Path, identity: str, ca: x509.Certificate, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{identity}.crt").read_bytes())
        key = serialization.load_pem_private_key(
            (folder / f"{identity}.key").read_bytes(), password=None
        )
        certificate.verify_directly_issued_by(ca)
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
        return False
    lasts = certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
    return lasts and key.public_key() == certificate.public_key()


def _issue(folder: Path, identity: str, authority: Authority, now: datetime) -> None:
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = [x509.DNSName(identity), x509.DNSName("localhost")]
    names = x509.SubjectAlternativeName([*hosts, x509.IPAddress(IPv4Address("127.0.0.1"))])
    roles = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(identity))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + timedelta(days=LEAF_DAYS), ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=False)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    _write(folder, identity, certificate, key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # Key first: a certificate without its key would pass for a pair only until it is used.
    write_atomic(folder / f"{name}.key", secret, 0o600)
    write_atomic(folder / f"{name}.crt", certificate.public_bytes(pem), 0o644)
