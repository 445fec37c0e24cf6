"""Records as CloudEvents 1.0, in batches of a bounded size (JSON batch format)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from agentid.sinks.errors import SinkError

CONTENT_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"
TYPE_PREFIX: Final = "dev.agentid.record."
MAX_BODY_BYTES: Final = 262_144
"""What the CloudEvents specification asks every receiver to take for one event is a quarter of that."""


@dataclass(frozen=True, slots=True)
class Body:
    """One request's worth of events: the JSON, and the index of the record after the last one in it."""

    content: bytes
    until: int


def bodies(records: Sequence[bytes], sequence: int, source: str, *, begin: int = 0) -> Iterator[Body]:
    """Yield the events of a batch from record `begin` on; one larger than a body has its own.

    Raises:
        SinkError: a record is none.
    """
    events: list[bytes] = []
    size = 2
    for index in range(begin, len(records)):
        event = _event(records[index], f"{sequence}-{index}", source)
        if events and size + len(event) + 1 > MAX_BODY_BYTES:
            yield Body(b"[" + b",".join(events) + b"]", index)
            events, size = [], 2
        events.append(event)
        size += len(event) + 1
    if events:
        yield Body(b"[" + b",".join(events) + b"]", len(records))


def _event(record: bytes, identifier: str, source: str) -> bytes:
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError as error:
        raise SinkError(f"record {identifier} is not JSON") from error
    if not isinstance(fields, dict) or not all(isinstance(fields.get(each), str) for each in ("kind", "at")):
        raise SinkError(f"record {identifier} has no kind or no time")
    attributes = {
        "specversion": "1.0",
        "id": identifier,
        "source": source,
        "type": TYPE_PREFIX + fields["kind"],
        "time": fields["at"],
        "datacontenttype": "application/json",
    }
    if isinstance(uid := fields.get("uid"), str) and uid:
        attributes["subject"] = uid
    # The record as it was signed, byte for byte.
    return orjson.dumps(attributes)[:-1] + b',"data":' + record.rstrip(b"\n") + b"}"
