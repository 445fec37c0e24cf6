"""Reads the spec of a batch's object, field by field, and says which one does not have its form."""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime

from agentid.ledger.errors import InvalidBatchError, InvalidRecordError
from agentid.ledger.record import read_time


class SpecFields:
    """The fields of one object; each is read once."""

    def __init__(self, name: str, spec: object) -> None:
        """Take the spec of the object `name`.

        Raises:
            InvalidBatchError: it is no object.
        """
        self._name = name
        if not isinstance(spec, Mapping):
            raise self.refusal("its spec is no object")
        self._left = dict(spec)

    def refusal(self, why: str) -> InvalidBatchError:
        """Return the error that says why the object is no batch."""
        return InvalidBatchError(f"batch {self._name:.64} cannot be read: {why}")

    def number(self, field: str, limit: int) -> int:
        """Return a whole number from 1 to `limit`."""
        value = self._left.pop(field, None)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            raise self.refusal(f"{field} is no number from 1 to {limit}")
        return value

    def text(self, field: str, is_right: Callable[[str], object]) -> str:
        """Return text that `is_right`."""
        value = self._left.pop(field, None)
        if not isinstance(value, str) or not is_right(value):
            raise self.refusal(f"{field} does not have its form")
        return value

    def time(self, field: str) -> datetime:
        """Return a time in whole seconds."""
        try:
            return read_time(self._left.pop(field, None), field)
        except InvalidRecordError as error:
            raise self.refusal(f"it {error}") from error

    def base64(self, field: str, length: int) -> bytes:
        """Return `length` bytes, of which there is one way only to write them in base64."""
        value = self._left.pop(field, None)
        try:
            raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != length or base64.b64encode(raw).decode() != value:
            raise self.refusal(f"{field} is not {length} bytes in base64")
        return raw

    def lines(self, field: str, max_bytes: int, max_lines: int) -> tuple[bytes, ...]:
        """Return the lines of a text, each without its end."""
        value = self._left.pop(field, None)
        try:
            raw = value.encode() if isinstance(value, str) else b""
        except UnicodeEncodeError as error:
            raise self.refusal(f"{field} is no UTF-8") from error
        if not raw.endswith(b"\n"):
            raise self.refusal(f"{field} is not made of whole lines")
        if len(raw) > max_bytes:
            raise self.refusal(f"{field} has {len(raw)} bytes, more than {max_bytes}")
        lines = tuple(raw[:-1].split(b"\n"))
        if len(lines) > max_lines:
            raise self.refusal(f"{field} has {len(lines)} lines, more than {max_lines}")
        return lines

    def refuse_others(self) -> None:
        """Refuse what was not read.

        Raises:
            InvalidBatchError: there is something.
        """
        if self._left:
            raise self.refusal(f"it has a field too many: {min(map(str, self._left))!a:.64}")
