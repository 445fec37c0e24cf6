"""A record: what says nothing is left out, any entry fits, and only a record is read as one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agentid.api.agentsecret import MAX_STATIC_SECRETS
from agentid.api.agenttask import Intent
from agentid.api.agenttask_status import MAX_APPROVERS, MAX_DEPTH, MAX_POLICIES, AgentTaskStatus
from agentid.api.fields import MAX_COUNT
from agentid.ledger.errors import InvalidKeyError, InvalidRecordError
from agentid.ledger.record import (
    MAX_RECORD_BYTES,
    Record,
    authority_loaded,
    checkpoint,
    encode,
    fits,
    key_rotated,
    ledger_started,
    lost,
    read_time,
)
from agentid.lifecycle.journal import SCHEMA, Entry, Kind
from tests.unit.ledger_batches import KEY, NOW, OTHER, UID, at, record

LINE = record("issued", serial="4f", not_after="2026-11-23T12:05:00Z", generation=0)


def test_what_says_nothing_is_left_out() -> None:
    said = encode({"a": None, "b": "", "c": (), "d": [], "e": {}, "f": False, "g": 0, "h": True, "i": "x"})

    assert said == b'{"g":0,"h":true,"i":"x"}'


def test_an_entry_of_the_journal_is_a_record_of_the_same_names() -> None:
    entry = Entry(
        kind=Kind.ISSUED,
        at="2026-11-23T12:00:00Z",
        namespace="support",
        task="refund-4711",
        uid=UID,
        generation=1,
        reason="Running",
        message="It runs.",
        actions=("orders:read",),
    )
    found = Record.parse(encode(entry.fields()))

    assert found.kind == "issued"
    assert found.at == NOW
    assert found.fields == {
        "schema": SCHEMA,
        "kind": "issued",
        "at": "2026-11-23T12:00:00Z",
        "namespace": "support",
        "task": "refund-4711",
        "uid": UID,
        "generation": 1,
        "reason": "Running",
        "message": "It runs.",
        "actions": ["orders:read"],
    }


def most(model: type[BaseModel], field: str) -> int:
    """How many items a list of the API may have."""
    return next(each.max_length for each in model.model_fields[field].metadata if hasattr(each, "max_length"))


def test_the_largest_entry_fits() -> None:
    # In JSON a control character takes the most bytes: \u0001. Where none may be, four bytes are the most.
    shown, hidden = "\U0001f9ff", "\x01"
    entry = Entry(
        kind=Kind.APPROVAL_REQUIRED,
        at="2026-11-23T12:00:00Z",
        namespace="n" * 63,
        task="t" * 63,
        uid=UID,
        generation=MAX_COUNT,
        agent="a" * 63,
        rule="r" * 100,
        reason="R" * 64,
        message=hidden * 1024,
        spec_hash="h" * 80,
        intent_generation=MAX_COUNT,
        actions=("a" * 128,) * most(Intent, "actions"),
        grantable=("a" * 128,) * most(Intent, "grantable"),
        resources=("r" * 253,) * most(Intent, "resources"),
        sensitivity="Confidential",
        requester=hidden * 253,
        state_changed_by=hidden * 253,
        template="t" * 63,
        delegator=hidden * 253,
        chain=(UID,) * MAX_DEPTH,
        action="resume",
        policies=(hidden * 400,) * MAX_POLICIES,
        policy_digest="d" * 71,
        approvers=(hidden * 253,) * MAX_APPROVERS,
        break_glass=True,
        justification=shown * 1024,
        pod_uid=UID,
        serial="f" * 40,
        not_after="2026-11-23T12:05:00Z",
        static_secrets=("s" * (63 + 1 + 64),) * MAX_STATIC_SECRETS,
        deadline="2026-11-23T13:00:00Z",
    )
    revoked = {"serial": "f" * 40, "not_after": "2026-11-23T12:05:00Z"}
    fields = entry.fields() | {
        "policy": f"ClusterAgentPolicy/{'p' * 253}",
        "revoked": [revoked] * most(AgentTaskStatus, "credentials"),
        "not_before": "2026-11-23T12:00:00Z",
        "started": "2026-11-23T12:00:00Z",
        "public_key": "k" * 71,
    }
    assert all(fields.values()), "an entry has a field that is not at its largest here"

    line = encode(fields)

    assert fits(line)
    assert len(line) > MAX_RECORD_BYTES / 2
    assert Record.parse(line).kind == "approvalRequired"


def test_a_record_of_one_byte_too_many_is_neither_fit_nor_read() -> None:
    frame = len(record(message="x")) - 1
    most = record(message="x" * (MAX_RECORD_BYTES - frame))
    more = record(message="x" * (MAX_RECORD_BYTES - frame + 1))

    assert fits(most)
    assert Record.parse(most)
    assert not fits(more)
    with pytest.raises(InvalidRecordError, match="a record has at most 131072"):
        Record.parse(more)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{}", "is of schema None; known here is agentid.dev/record/v1 only"),
        (LINE.replace(b"record/v1", b"record/v2"), "is of schema 'agentid.dev/record/v2'"),
        (LINE.replace(b'"kind":"issued"', b'"kind":""'), "says no kind"),
        (LINE.replace(b'"kind":"issued"', b'"kind":1'), "says no kind"),
        (LINE.replace(b'"kind":"issued",', b""), "says no kind"),
        (LINE.replace(b"12:00:00Z", b"12:00:00+00:00"), "has no time at"),
        (LINE.replace(b"2026-11-23T12:00:00Z", b"2026-11-31T12:00:00Z"), "has no time at"),
        (LINE.replace(b"2026-11-23T12:00:00Z", b"2026-11-23T12:00:00Z\\n"), "has no time at"),
        (LINE.replace(b'"2026-11-23T12:00:00Z"', b"1"), "has no time at"),
        (b"[]", "is no JSON object"),
    ],
)
def test_what_is_no_record_is_refused(line: bytes, why: str) -> None:
    with pytest.raises(InvalidRecordError, match=why):
        Record.parse(line)


def test_fields_are_read_as_what_they_are_or_refused() -> None:
    found = Record.parse(
        record(serial="4f", generation=3, break_glass=True, not_after="2026-11-23T12:05:00Z")
    )

    assert found.text("serial") == "4f"
    assert found.text("task") == ""
    assert found.number("generation") == 3
    assert found.time("not_after") == at(300)
    assert found.time("deadline") is None
    with pytest.raises(InvalidRecordError, match="has generation, which is no text"):
        found.text("generation")
    for name in ("serial", "break_glass", "count"):
        with pytest.raises(InvalidRecordError, match=f"has no number {name}"):
            found.number(name)
    with pytest.raises(InvalidRecordError, match="has no time serial"):
        found.time("serial")
    with pytest.raises(InvalidRecordError, match="has no public_key"):
        found.public_key()
    with pytest.raises(InvalidKeyError):
        found.public_key("serial")


def test_the_records_about_the_ledger_itself_say_what_a_reader_needs() -> None:
    first = Record.parse(ledger_started(NOW, KEY.public, "cluster.example.org"))
    assert (first.kind, first.text("trust_domain"), first.at) == ("ledgerStarted", "cluster.example.org", NOW)
    assert first.public_key() == KEY.public

    rotated = Record.parse(key_rotated(NOW, KEY.public, OTHER.public))
    assert (rotated.kind, rotated.public_key(), rotated.public_key("previous_key")) == (
        "keyRotated",
        OTHER.public,
        KEY.public,
    )

    stands = Record.parse(checkpoint(NOW, 41, "sha256:" + "ab" * 32, KEY.public, at(-3600)))
    assert (stands.kind, stands.number("through"), stands.public_key()) == ("checkpoint", 41, KEY.public)
    assert (stands.text("hash"), stands.time("started")) == ("sha256:" + "ab" * 32, at(-3600))

    gone = Record.parse(lost(NOW, 3, at(-5)))
    assert (gone.kind, gone.number("count"), gone.time("since")) == ("lost", 3, at(-5))

    loaded = Record.parse(authority_loaded(NOW, "sha256:" + "cd" * 32, "7a", at(900)))
    assert (loaded.kind, loaded.text("serial"), loaded.time("not_after")) == (
        "authorityLoaded",
        "7a",
        at(900),
    )


@given(st.datetimes(datetime(2000, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_is_read_back_in_whole_seconds(moment: datetime) -> None:
    line = lost(moment, 1, moment)

    assert Record.parse(line).at == moment.replace(microsecond=0)


@given(st.text(max_size=25) | st.from_regex(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fullmatch=True))
def test_whatever_is_sent_as_a_time_is_one_or_refused(value: str) -> None:
    try:
        moment = read_time(value, "at")
    except InvalidRecordError:
        return
    assert moment.utcoffset() is not None
    assert moment.strftime("%Y-%m-%dT%H:%M:%SZ") == value
