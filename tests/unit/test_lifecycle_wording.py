"""What is too long to be told is cut so that what to do about it is still said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.lifecycle.wording import MAX_MESSAGE_BYTES, clip


@given(st.text(max_size=400), st.integers(10, 300))
def test_what_is_cut_is_never_longer_than_it_may_be_and_what_fits_stays(message: str, limit: int) -> None:
    clipped = clip(message, limit)
    assert len(clipped.encode()) <= limit
    encoded = message.encode(errors="replace")
    if len(encoded) <= limit:
        assert clipped == encoded.decode()


@pytest.mark.parametrize("cause", ["x" * 3000, "ä" * 3000, "One thing. " * 300])
def test_last_sentence_says_what_to_do_and_survives(cause: str) -> None:
    clipped = clip(f"{cause} is wrong. Have the platform team mend it.")
    assert clipped.endswith("… Have the platform team mend it.")
    assert clipped.startswith(cause[:100])
    assert MAX_MESSAGE_BYTES - 3 <= len(clipped.encode()) <= MAX_MESSAGE_BYTES


def test_last_sentence_that_is_too_long_itself_is_cut() -> None:
    clipped = clip(f"Denied. {'y' * 3000}")
    assert clipped.startswith("Denied. yyy")
    assert clipped.endswith("y…")
