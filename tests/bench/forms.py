"""The bodies of the six writes of a life, with gaps that the bare client fills in for each task."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import orjson

UID: Final = b"@UID@"
NAME: Final = b"@NAME@"
VERSION: Final = b"@VERSION@"
MOMENT: Final = b"@MOMENT@"
SECRET_UID: Final = b"@SECRET-UID@"
DATA: Final = b'"@DATA@"'


@dataclass(frozen=True, slots=True)
class Forms:
    """The bodies of the six writes of a life, and contents of Secrets that are used in turn."""

    issued_status: str
    secret: str
    issued_event: str
    ended_status: str
    deletion: str
    ended_event: str
    credentials: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write them to a file."""
        path.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them from a file."""
        return cls(**orjson.loads(path.read_bytes()))


def moment(now: datetime, count: int) -> bytes:
    """Return what makes an Event's name its own, as long as agentid's."""
    return f"{round(now.timestamp() * 1_000_000):016x}{count & 0xFFFF:04x}".encode()
