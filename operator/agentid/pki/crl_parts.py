"""A CRL that is too large for one ConfigMap, in parts, most of which the next one has too."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentid.api.names import CRL_PART_CONFIG_MAPS
from agentid.pki.crl import MAX_NUMBER
from agentid.pki.errors import RevocationListError

MIN_PART_BYTES: Final = 256 * 1024
MAX_PART_BYTES: Final = 640 * 1024
"""With what is said of it, a part is well below what a ConfigMap holds."""
MAX_PARTS: Final = len(CRL_PART_CONFIG_MAPS) // 2
CRL_KEY: Final = "crl.der"
"""In the ConfigMap of a CRL: the CRL, cut where it is too large."""
WHOLE_KEY: Final = "whole"
"""In the ConfigMap of a CRL: which parts make the whole one, where it is in parts."""
BEGIN_KEY: Final = "whole-begin"
END_KEY: Final = "whole-end"
PART_KEY: Final = "part"
"""In the ConfigMap of a part: its bytes."""
_ONE_IN: Final = 2048
"""Serial numbers are random: a part may end before one that this divides, whatever else there is."""
_HEADER_BYTES: Final = 2
"""An entry is a SEQUENCE of less than 128 bytes: a byte of tag and one of length, then its serial number."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", min_length=64, max_length=64)]


class Part(BaseModel):
    """Where a part is, and the SHA-256 of its bytes."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    sha256: _Digest


class _Said(BaseModel):
    """What the ConfigMap of a CRL says of the whole one, in JSON."""

    model_config = ConfigDict(frozen=True, strict=True)

    number: Annotated[int, Field(gt=0, le=MAX_NUMBER)]
    entries: Annotated[int, Field(ge=0)]
    sha256: _Digest
    parts: Annotated[list[Part], Field(max_length=MAX_PARTS)]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A CRL in pieces: they change with each one, but for the parts, most of which the next one has too."""

    begin: bytes
    parts: tuple[bytes, ...]
    end: bytes


@dataclass(frozen=True, slots=True)
class WholeCrl:
    """Of what a CRL consists that is in parts.

    Attributes:
        number: Its number.
        entries: How many it has.
        sha256: Of the whole of it: what was put together from parts of two CRLs is none of them.
        begin: What is before its parts.
        parts: Where they are, in their order.
        end: What is after them.
    """

    number: int
    entries: int
    sha256: str
    begin: bytes
    parts: tuple[Part, ...]
    end: bytes

    @classmethod
    def read(cls, data: Mapping[str, str], binary: Mapping[str, bytes]) -> Self | None:
        """Return what a ConfigMap says of the whole CRL; None: the one that is in it is whole.

        Raises:
            RevocationListError: it says what cannot be.
        """
        if (text := data.get(WHOLE_KEY)) is None:
            return None
        try:
            said = _Said.model_validate_json(text)
        except ValidationError as error:
            raise RevocationListError("what is said of the parts of the CRL cannot be read") from error
        if not {each.name for each in said.parts} <= set(CRL_PART_CONFIG_MAPS):
            raise RevocationListError("the CRL is said to have parts where there are none")
        begin, end = binary.get(BEGIN_KEY, b""), binary.get(END_KEY, b"")
        return cls(said.number, said.entries, said.sha256, begin, tuple(said.parts), end)

    def data(self) -> dict[str, str]:
        """Return what a ConfigMap says of it in words."""
        said = _Said(number=self.number, entries=self.entries, sha256=self.sha256, parts=list(self.parts))
        return {WHOLE_KEY: said.model_dump_json()}

    def binary(self) -> dict[str, bytes]:
        """Return what a ConfigMap holds of it."""
        return {BEGIN_KEY: self.begin, END_KEY: self.end}

    def put_together(self, parts: Mapping[str, bytes]) -> bytes:
        """Return the whole CRL from its `parts`, by their names.

        Raises:
            RevocationListError: one is missing, or is not of this CRL.
        """
        for each in self.parts:
            if each.name not in parts:
                raise RevocationListError(f"ConfigMap {each.name} with a part of the CRL is missing")
            if sha256(parts[each.name]) != each.sha256:
                raise RevocationListError(f"ConfigMap {each.name} holds a part of another CRL")
        whole = b"".join((self.begin, *(parts[each.name] for each in self.parts), self.end))
        if sha256(whole) != self.sha256:
            raise RevocationListError("the parts of the CRL do not make the whole one")
        return whole


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def cut(der: bytes, serials: Sequence[int]) -> Pieces:
    """Cut a CRL, so that the next one, with few entries more or less, has nearly all parts of this one.

    Args:
        der: The CRL.
        serials: The serial numbers of its entries, in their order; there is at least one.

    Returns:
        Its pieces: together they are `der`. No part has more than `MAX_PART_BYTES`, and none but the last has
        less than `MIN_PART_BYTES`.
    """
    begin = der.index(_encoded(serials[0])) - _HEADER_BYTES
    last = der.rindex(_encoded(serials[-1]), begin) - _HEADER_BYTES
    end = last + _HEADER_BYTES + der[last + 1]
    parts, at = [], begin
    for each in (*(between for between in _between(der, serials, begin) if between < end), end):
        while each - at > MAX_PART_BYTES:
            parts.append(der[at : at + MAX_PART_BYTES])
            at += MAX_PART_BYTES
        if each - at >= MIN_PART_BYTES or each == end:
            parts.append(der[at:each])
            at = each
    return Pieces(der[:begin], tuple(parts), der[end:])


def _between(der: bytes, serials: Iterable[int], at: int) -> Iterator[int]:
    """Yield where a part may end: before some entries."""
    for serial in serials:
        if serial % _ONE_IN == 0:
            found = der.index(_encoded(serial), at)
            yield found - _HEADER_BYTES
            at = found


def _encoded(serial: int) -> bytes:
    """Return a serial number as it is in an entry (X.690 §8.3)."""
    content = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return bytes((2, len(content))) + content
