"""Heads as the sinks get them with each batch: a ledger can be held against the last one that one has."""

import base64
from typing import Final

import orjson

from agentid.api.fields import format_time
from agentid.ledger.batch import Batch
from agentid.ledger.canonical import canonical
from agentid.ledger.digests import digest_of
from agentid.ledger.errors import InvalidHeadError
from agentid.ledger.known_head import KnownHead
from agentid.lifecycle.journal import SCHEMA

HEAD: Final = "head"
"""The kind of what is delivered after the records of a batch. It is in no batch itself."""

_WRAPPINGS: Final = ("record", "data")
"""Where a line of a file holds what was delivered, and where an event does; a log line holds it itself."""


def head_line(batch: Batch) -> bytes:
    """Return what was signed of `batch`: its header, whose hash is what the next one is chained to."""
    return canonical(
        {
            "schema": SCHEMA,
            "kind": HEAD,
            "at": format_time(batch.at),
            "sequence": batch.sequence,
            "hash": batch.head.hash,
            "key_id": batch.key_id,
            "header": batch.header.decode(),
            "signature": base64.b64encode(batch.signature).decode(),
        }
    )


def last_head(text: bytes) -> KnownHead | None:
    """Return the last head in the lines of `text`, as any sink's receiver keeps them; None: there is none.

    Raises:
        InvalidHeadError: the last one does not agree with itself.
    """
    for line in reversed(text.splitlines()):
        # Lines about anything else are no reason to stop, nor one that was cut in two.
        if f'"{HEAD}"'.encode() in line and (found := _head_in(line)) is not None:
            return found
    return None


def _head_in(line: bytes) -> KnownHead | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    for each in _WRAPPINGS:
        if isinstance(value, dict) and isinstance(value.get(each), dict):
            value = value[each]
    if not isinstance(value, dict) or value.get("kind") != HEAD:
        return None
    told = {"sequence": value.get("sequence"), "hash": value.get("hash"), "keyID": value.get("key_id")}
    known, header = KnownHead.from_json(orjson.dumps(told)), value.get("header")
    if not isinstance(header, str) or digest_of(header.encode()) != known.head.hash:
        raise InvalidHeadError(f"the head of batch {known.head.sequence} is not the hash of its header")
    return known
