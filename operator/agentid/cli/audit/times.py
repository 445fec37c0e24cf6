"""Reads a time as people give it: RFC 3339, a day, or how long ago."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Final

import typer
from pydantic import TypeAdapter, ValidationError

from agentid.api.fields import Timestamp
from agentid.cli.options import duration
from agentid.process.clocks import Clock

_is_day: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def moment(given: str, option: str) -> datetime:
    """Return the time that is meant; a day begins at midnight UTC, and `8h` is eight hours ago.

    Raises:
        BadParameter: it is none of these.
    """
    written = f"{given}T00:00:00Z" if _is_day(given) else given
    with suppress(ValidationError):
        return TypeAdapter[datetime](Timestamp).validate_python(written)
    try:
        return Clock().now() - duration(given, option)
    except (typer.BadParameter, OverflowError) as error:
        said = f"{given!r} is no time such as 2026-11-23T14:00:00Z, 2026-11-23, or 8h for so long ago"
        raise typer.BadParameter(said, param_hint=option) from error
