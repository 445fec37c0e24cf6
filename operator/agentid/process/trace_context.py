"""What a span is told, and by what name a caller tells of its own."""

from collections.abc import Mapping
from typing import Final

TRACEPARENT: Final = "traceparent"
"""The header, and gRPC's metadata, by which a caller names its span (W3C Trace Context §3.2)."""

MAX_TRACEPARENT: Final = 128
"""Characters that are looked at: 55 today, and room for a later version of it (W3C Trace Context §3.2.2)."""

Attributes = Mapping[str, str | int | bool | None]
"""What is said of a span; None: nothing."""
