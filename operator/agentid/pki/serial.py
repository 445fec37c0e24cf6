"""Serial numbers of certificates: unguessable, always positive, always written the same way."""

import secrets
from typing import Final

SERIAL_BITS: Final = 127
"""The highest bit is always set and 126 are random: 32 hexadecimal digits, 16 bytes in DER, positive."""


def random_serial() -> int:
    """Return a new serial number (RFC 5280 §4.1.2.2: positive, at most 20 bytes)."""
    return 1 << (SERIAL_BITS - 1) | secrets.randbits(SERIAL_BITS - 1)


def serial_hex(serial: int) -> str:
    """Return `serial` as status, logs and peers compare it: lower case, whole bytes, no prefix.

    It is what `openssl x509 -serial` prints, in lower case.
    """
    digits = f"{serial:x}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
