"""Ed25519 keys (RFC 8032): the public one stands in the camera's TOML, the private one never comes near the device.

A public key is the one line that `openssl pkey -pubout` prints between its two rulers: 60 characters of base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from edgekit.artifacts.atomic import reason
from edgekit.errors import InputError, UsageError
from edgekit.reading import RefusedError, read_bytes
from edgekit.reading.limits import KB

SIGNATURE = 64  # bytes
_RAW = 32  # bytes of a public key, at the end of its SubjectPublicKeyInfo (RFC 8410, section 4)
_SAID = b"edgekit update 1\n"  # before what is signed, so that the key's other signatures are none of an update


def is_signed(message: bytes, signature: bytes, keys: Iterable[str]) -> bool:
    """Whether one of the public keys, as `update.keys` has them, vouches for the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[-_RAW:]).verify(signature, _SAID + message)
        except InvalidSignature:
            continue
        return True
    return False


class SigningKey:
    """A private key, read from an unencrypted PEM file.

    Attributes:
        public: its public key, as the TOML wants it.

    Raises:
        InputError: the file cannot be read.
        UsageError: it is no ed25519 private key, or one with a passphrase.
    """

    def __init__(self, path: Path) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        try:
            data = read_bytes(path, 64 * KB)
        except (OSError, RefusedError) as error:
            got = reason(error) if isinstance(error, OSError) else str(error)
            raise InputError(f"{path} cannot be read.", got=got, expected="a private key") from error
        try:
            found = load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise UsageError(
                f"{path} is no private key that updates are signed with.",
                got="one of another kind" if found is not None else "no PEM file, or one with a passphrase",
                expected="ed25519, in a PEM file without a passphrase",
                fix=f"openssl genpkey -algorithm ed25519 -out {path.stem}-ed25519.pem",
            )
        self._key = found
        der = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = base64.b64encode(der).decode()

    def sign(self, message: bytes) -> bytes:
        """64 bytes for which `is_signed` is true."""
        return self._key.sign(_SAID + message)
