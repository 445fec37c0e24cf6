"""A LedgerBatch: what may stand in one, and how it is called."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentid.api import crd, kinds
from agentid.api.fields import MAX_COUNT
from agentid.api.ledgerbatch import MAX_RECORDS_LENGTH, LedgerBatchSpec, batch_name
from tests.batches import batch_spec

SEQUENCES = st.integers(1, MAX_COUNT)


def read(**changes: object) -> LedgerBatchSpec:
    return LedgerBatchSpec.model_validate_json(json.dumps(batch_spec(**changes)))


def test_what_is_read_is_written_again_as_it_was() -> None:
    assert json.loads(read().model_dump_json(by_alias=True)) == batch_spec()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 0),
        ("sequence", MAX_COUNT + 1),
        ("sequence", True),
        ("sequence", "1"),
        ("previousHash", "0" * 64),
        ("previousHash", f"sha256:{'0' * 63}"),
        ("previousHash", f"sha256:{'A' * 64}"),
        ("root", f"sha256:{'1' * 64}\n"),
        ("count", 0),
        ("count", 8193),
        ("at", "2026-05-31T14:00:00+00:00"),
        ("at", "2026-05-31T14:00:00.000Z"),
        ("at", "2026-05-31T16:00:00+02:00"),
        ("at", "2026-05-31t14:00:00z"),
        ("at", "2026-05-31T14:00:00"),
        ("at", "2026-02-30T14:00:00Z"),
        ("at", 1_780_000_000),
        ("writer", ""),
        ("writer", "a b"),
        ("writer", "a\n"),
        ("writer", "é"),
        ("writer", "a" * 254),
        ("nonce", "2" * 31),
        ("nonce", "G" * 32),
        ("keyID", "3" * 64),
        ("signature", "A" * 88),
        ("signature", "A" * 84 + "===="),
        ("signature", "_" * 86 + "=="),
        ("records", ""),
        ("records", "x" * (MAX_RECORDS_LENGTH + 1)),
        ("records", ["{}"]),
        ("status", {}),
        ("schema", "agentid.dev/ledger/v1"),
    ],
)
def test_what_a_batch_may_not_say_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{field: value})


@pytest.mark.parametrize("field", batch_spec())
def test_nothing_of_a_batch_may_be_left_out(field: str) -> None:
    left = {key: value for key, value in batch_spec().items() if key != field}

    with pytest.raises(ValidationError):
        LedgerBatchSpec.model_validate_json(json.dumps(left))


def test_longest_records_are_read() -> None:
    assert len(read(records="x" * MAX_RECORDS_LENGTH).records) == MAX_RECORDS_LENGTH


@given(one=SEQUENCES, other=SEQUENCES)
def test_names_sort_as_sequences_do_and_are_of_one_length(one: int, other: int) -> None:
    assert (batch_name(one) < batch_name(other)) == (one < other)
    assert int(batch_name(one)) == one
    assert len(batch_name(one)) == 16


def test_a_batch_never_changes_and_has_nothing_but_its_spec() -> None:
    (version,) = crd.definition(kinds.LEDGER_BATCH)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]

    rules = {rule["rule"] for rule in schema["properties"]["spec"]["x-kubernetes-validations"]}

    assert rules == {"self == oldSelf"}
    assert "status" not in schema["properties"]
    assert "subresources" not in version
    assert schema["properties"]["spec"]["required"] == list(batch_spec())


def test_no_rule_reads_the_records() -> None:
    (version,) = crd.definition(kinds.LEDGER_BATCH)["spec"]["versions"]
    records = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["records"]

    assert records["maxLength"] == MAX_RECORDS_LENGTH
    assert not {"pattern", "x-kubernetes-validations"} & records.keys()


@pytest.mark.parametrize(
    ("wide", "columns"), [(False, ["Records", "Writer", "Age"]), (True, ["Root", "Previous", "Key"])]
)
def test_columns_of_batches(wide: bool, columns: list[str]) -> None:  # noqa: FBT001 - parametrized
    assert [each.name for each in kinds.LEDGER_BATCH.columns if each.wide == wide] == columns
