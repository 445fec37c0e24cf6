"""SHA-256 as the ledger writes it: `sha256:` and 64 hexadecimal digits in lower case."""

import hashlib
import re
from typing import Final

_PREFIX: Final = "sha256:"
is_digest: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{64}}").fullmatch


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of `data` as text."""
    return digest_text(hashlib.sha256(data).digest())


def digest_text(raw: bytes) -> str:
    """Return a SHA-256, 32 bytes, as text."""
    return _PREFIX + raw.hex()


def digest_bytes(text: str) -> bytes:
    """Return the 32 bytes of what `is_digest`."""
    return bytes.fromhex(text.removeprefix(_PREFIX))
