"""The TLS key of an engine cluster of dask: one self-signed certificate that all parties have."""

from __future__ import annotations

import datetime
from pathlib import Path

from sshjobs.pools.keys import write_private

_DAYS = 3650


def make_certificate(path: Path) -> None:
    """Make a private key and its certificate, and write both to a file that only its owner may read.

    :raises OSError: it cannot be written, or is there already
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sshjobs engine cluster")])
    # A host's clock may be behind ours.
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(begin)
                   .not_valid_after(begin + datetime.timedelta(days=_DAYS)).sign(key, hashes.SHA256()))
    write_private(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption())
                  + certificate.public_bytes(serialization.Encoding.PEM))
