"""Canonical JSON: what RFC 8785 says of the values that a record holds, and a refusal of all others."""

import json
from datetime import UTC, datetime
from enum import StrEnum

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from agentid.ledger.canonical import MAX_DEPTH, Value, canonical, decode
from agentid.ledger.errors import InvalidRecordError

EXACT = 2**53 - 1
NAMES = st.text(st.characters(max_codepoint=127), max_size=10)
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.text(max_size=20) | st.booleans() | st.integers(-EXACT, EXACT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)


def depth(value: Value) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


class Word(StrEnum):
    ISSUED = "issued"


@given(VALUES)
def test_it_is_what_rfc_8785_says(value: Value) -> None:
    assume(depth(value) <= MAX_DEPTH)
    assert canonical(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_what_was_written_is_read_back(value: dict[str, Value]) -> None:
    assume(depth(value) <= MAX_DEPTH)
    assert decode(canonical(value)) == value


@pytest.mark.parametrize("escaped", [True, False])
@given(value=OBJECTS, indent=st.sampled_from([None, 1]))
def test_any_other_spelling_is_refused(*, value: dict[str, Value], indent: int | None, escaped: bool) -> None:
    assume(depth(value) <= MAX_DEPTH)
    spelled = json.dumps(dict(reversed(value.items())), ensure_ascii=escaped, indent=indent)
    try:
        raw = spelled.encode()
    except UnicodeEncodeError:
        return
    if raw != canonical(value):
        with pytest.raises(InvalidRecordError):
            decode(raw)


@given(st.binary(max_size=60) | OBJECTS.map(lambda each: json.dumps(each).encode()))
def test_whatever_comes_it_is_read_exactly_or_refused(raw: bytes) -> None:
    try:
        value = decode(raw)
    except InvalidRecordError:
        return
    assert canonical(value) == raw


def test_tuples_are_lists_and_words_are_text() -> None:
    assert canonical({"b": (1, "x"), "a": Word.ISSUED}) == b'{"a":"issued","b":[1,"x"]}'


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": None}, "holds NoneType in 'a', which is no value of a record"),
        ({"a": [1.5]}, "holds float in 'a'"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "holds datetime in 'a'"),
        ({"a": b"x"}, "holds bytes in 'a'"),
        ({"a": EXACT + 1}, "holds a number in 'a' that not every reader of JSON keeps exact"),
        ({"a": -EXACT - 1}, "holds a number in 'a'"),
        ({"ä": 1}, r"has the name '\\xe4'; a name is text in ASCII"),
        ({"a": {1: 1}}, "has the name 1 in 'a'"),
        ({Word.ISSUED: 1}, "a name is text in ASCII"),
        ({"a": "\ud800"}, "holds text that is no UTF-8"),
        ({"\udc00": 1}, "a name is text in ASCII"),
    ],
)
def test_what_a_reader_could_take_for_something_else_is_refused(value: object, why: str) -> None:
    with pytest.raises(InvalidRecordError, match=why):
        canonical(value)


def nested(levels: int) -> object:
    value: object = "x"
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def test_what_is_nested_too_deep_is_refused() -> None:
    assert canonical(nested(MAX_DEPTH))
    with pytest.raises(InvalidRecordError, match="nested too deep"):
        canonical(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1} ',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":9007199254740993}',
        b'{"a":18446744073709551616}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"[1]",
        b'"a"',
        b"1",
        b"",
        b"{",
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
def test_a_line_in_any_other_form_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        decode(raw)
