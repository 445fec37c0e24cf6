"""What the doctor makes of the ledger: whole up to its head, by whose key, and how much it is."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from agentid.doctor import ledger
from agentid.doctor.finding import Finding, Standing
from agentid.doctor.ledger import LedgerSeen, Vouching, judge_ledger, see, vouching_of
from agentid.ledger.errors import LedgerError
from agentid.ledger.known_head import KnownHead
from tests.unit.doctor_installation import one
from tests.unit.ledger_batches import KEY, OTHER, Objects, at, objects, with_rotation

LEDGER = with_rotation()
OURS = Vouching((OTHER.public,), KnownHead.of(LEDGER[-2]))


async def pages(found: Objects) -> AsyncIterator[list[dict[str, Any]]]:
    for name, spec in found:
        yield [{"metadata": {"name": name}, "spec": spec}]


async def judged(found: Objects, vouching: Vouching | None = OURS) -> Finding:
    return one(judge_ledger(await see(pages(found), vouching), vouching, "agentid-system"))


async def test_a_whole_ledger_is_told_by_its_head() -> None:
    told = await judged(objects(LEDGER))

    assert told.standing is Standing.OK
    assert told.sentence == (
        "7 batches up to 7 of 2026-11-23T12:00:06Z, 0.0 MiB of records, are whole, "
        "and signed by the ledger's key."
    )


@pytest.mark.parametrize(
    ("found", "vouching", "said"),
    [
        (LEDGER[:2] + LEDGER[3:], OURS, "batch 3: removed"),
        (LEDGER[:-2], OURS, "batch 6: truncated"),
        ([], OURS, "there is no batch at all"),
        (LEDGER, Vouching((KEY.create().public,), None), "batch 1: wrongKey"),
        ([], Vouching((KEY.public,), None), "There is no LedgerBatch"),
        ([], None, "There is no LedgerBatch"),
        (LEDGER, None, "Secret agentid-system/ledger-key is not there"),
    ],
)
async def test_what_is_wrong_is_a_problem(found: list[Any], vouching: Vouching | None, said: str) -> None:
    told = await judged(objects(found), vouching)

    assert told.standing is Standing.PROBLEM
    assert said in told.sentence
    assert told.remedy


async def test_who_may_not_read_the_key_is_told_that_nobody_vouched() -> None:
    told = await judged(objects(LEDGER), Vouching((), None))

    assert told.standing is Standing.UNSEEN
    assert "nothing is known of who signed them" in told.sentence


def test_much_of_it_is_a_warning() -> None:
    seen = LedgerSeen(9, 9, at(0), 255.0, vouched=True)

    assert one(judge_ledger(seen, OURS, "agentid-system")).standing is Standing.OK
    much = one(judge_ledger(replace(seen, mebibytes=257.0), OURS, "agentid-system"))
    assert much.standing is Standing.WARNING
    assert "keepMebibytes" in much.remedy


def test_of_the_secret_only_what_is_public_is_used() -> None:
    head = KnownHead.of(LEDGER[-1])
    secret = {
        "data": {
            "ledger.key": b64encode(KEY.to_pem()).decode(),
            "next.key": b64encode(OTHER.to_pem()).decode(),
            "head.json": b64encode(head.to_json()).decode(),
        }
    }

    assert vouching_of(secret) == Vouching((KEY.public, OTHER.public), head)
    with pytest.raises(LedgerError):
        vouching_of({"data": secret["data"] | {"ledger.key": b64encode(b"no key").decode()}})
    assert ledger.CHECK == "ledger"
