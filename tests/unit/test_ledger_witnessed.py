"""Heads that sinks get: the last one is found in whatever its receiver keeps, and agrees with itself."""

from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.controller.ledger_followers import delivered
from agentid.ledger.batch import Batch
from agentid.ledger.digests import digest_of
from agentid.ledger.errors import InvalidHeadError
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import Record
from agentid.ledger.witnessed import HEAD, head_line, last_head
from agentid.sinks.cloud_events import bodies
from agentid.sinks.segment_file import lines_of
from tests.unit.ledger_batches import KEY, chain, issued, record, started

WHOLE = chain([[started()], [issued("4f", ends=310), record(task=HEAD)], [record()]])


def segment(batch: Batch) -> bytes:
    return lines_of(delivered(batch), batch.sequence)


def events(batch: Batch) -> bytes:
    """As a receiver keeps them that writes one event a line."""
    (body,) = bodies(delivered(batch), batch.sequence, "spiffe://example.org")
    return b"".join(orjson.dumps(each) + b"\n" for each in orjson.loads(body.content))


def log(batch: Batch) -> bytes:
    """As the log has them."""
    fields = (orjson.loads(each) | {"event": "record", "level": "info"} for each in delivered(batch))
    return b"".join(orjson.dumps(each) + b"\n" for each in fields)


@pytest.mark.parametrize("kept", [segment, events, log])
def test_the_last_head_is_found_in_what_any_receiver_keeps(kept: Callable[[Batch], bytes]) -> None:
    text = b"".join(kept(each) for each in WHOLE)

    assert last_head(text) == KnownHead.of(WHOLE[-1])
    # Cut in two by a crash, or where the end of a long file was read from.
    assert last_head(text[:-10]) == KnownHead.of(WHOLE[1])
    assert last_head(text[10:]) == KnownHead.of(WHOLE[-1])
    assert last_head(b"".join(kept(each).splitlines(keepends=True)[0] for each in WHOLE)) is None


def test_a_head_shows_by_itself_who_signed_it() -> None:
    found = Record.parse(head_line(WHOLE[1]))

    header = found.text("header").encode()
    assert digest_of(header) == found.text("hash") == WHOLE[1].head.hash
    assert KEY.public.verify(WHOLE[1].signature, header)


def test_a_head_that_does_not_agree_with_itself_is_refused() -> None:
    text = segment(WHOLE[0])

    for wrong in (
        text.replace(b"op-0_1", b"op-0_2"),
        text.replace(WHOLE[0].head.hash[-9:].encode(), b"0" * 9),
    ):
        with pytest.raises(InvalidHeadError):
            last_head(wrong)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([segment(each) for each in WHOLE]))))
def test_whatever_a_file_holds_it_is_a_head_or_none(lines: list[bytes]) -> None:
    found = last_head(b"\n".join(lines))

    assert found is None or found in {KnownHead.of(each) for each in WHOLE}
