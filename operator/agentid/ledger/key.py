"""The key that signs the ledger (Ed25519), which signs nothing else, and its public half."""

from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from agentid.ledger.digests import digest_of
from agentid.ledger.errors import InvalidKeyError


@dataclass(frozen=True, slots=True)
class LedgerPublicKey:
    """What checks the signatures of a ledger.

    Attributes:
        key_id: `sha256:` and the hash of its SubjectPublicKeyInfo in DER.
        pem: The same SubjectPublicKeyInfo in PEM.
    """

    key_id: str
    pem: str = field(repr=False, compare=False)
    _key: ed25519.Ed25519PublicKey = field(repr=False, compare=False)

    @classmethod
    def from_pem(cls, pem: str | bytes) -> Self:
        """Read a SubjectPublicKeyInfo in PEM.

        Raises:
            InvalidKeyError: it is none, or not of Ed25519.
        """
        try:
            key = serialization.load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKeyError("the public key of the ledger is no PEM of a public key") from error
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise InvalidKeyError("the public key of the ledger is not of Ed25519")
        return cls.of(key)

    @classmethod
    def of(cls, key: ed25519.Ed25519PublicKey) -> Self:
        """Return `key` as a ledger's."""
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        return cls(
            digest_of(key.public_bytes(serialization.Encoding.DER, info)),
            key.public_bytes(serialization.Encoding.PEM, info).decode(),
            key,
        )

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """What signs a ledger."""

    public: LedgerPublicKey
    _key: ed25519.Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def create(cls) -> Self:
        """Make a new key."""
        return cls._of(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read an unencrypted PKCS#8 key in PEM.

        Raises:
            InvalidKeyError: it is none, or not of Ed25519; the text holds nothing of it.
        """
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Not chained: what the reader says may quote what it read.
            raise InvalidKeyError("the key of the ledger is no unencrypted PEM of a private key") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise InvalidKeyError("the key of the ledger is not of Ed25519")
        return cls._of(key)

    @classmethod
    def _of(cls, key: ed25519.Ed25519PrivateKey) -> Self:
        return cls(LedgerPublicKey.of(key.public_key()), key)

    @property
    def key_id(self) -> str:
        """Which key it is, as batches name it."""
        return self.public.key_id

    def to_pem(self) -> bytes:
        """Return the key itself, PKCS#8, unencrypted, for its Secret and nothing else."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`, 64 bytes."""
        return self._key.sign(data)
