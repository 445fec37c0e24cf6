"""The memory of a Secret stays true whatever becomes of a write; nothing foreign is filled or taken over."""

from datetime import timedelta

import pytest

from agentid.cluster.errors import ConflictError, ConnectionLostError
from agentid.cluster.secrets import Version
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import SecretState
from tests.unit.secrets_in_memory import MINE, NOW, OTHER, SecretsInMemory, act, keeper_of, new_svid, no, yes


async def test_fill_renew_empty_and_delete_take_one_request_each() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper, first, second = keeper_of(secrets, memory), new_svid(), new_svid()
    await keeper.fill(first, 1, (), yes)
    assert secrets.key == first.private_key_pem
    await keeper.fill(second, 2, (), yes)
    assert secrets.key == second.private_key_pem
    assert memory.facts_for(MINE).generation == 2
    await keeper.empty(())
    assert secrets.key == b""
    assert memory.facts_for(MINE).emptied_at == NOW
    await keeper.delete(())
    assert secrets.there is None
    assert memory.facts_for(MINE).state is SecretState.ABSENT
    assert secrets.calls == ["create", "replace", "replace", "delete"]


async def test_copies_are_written_beside_the_credential_and_their_keys_stay_when_it_is_emptied() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper, svid = keeper_of(secrets, memory, static_secrets=["legacy-crm-key"]), new_svid()
    await keeper.fill(svid, 1, (), yes, {"legacy-crm-key": b"hunter2", "tls.key": b"another"})
    assert secrets.there is not None
    assert secrets.there[1].files["legacy-crm-key"] == b"hunter2"
    assert secrets.key == svid.private_key_pem
    await keeper.empty(())
    assert secrets.there[1].files["legacy-crm-key"] == b""
    assert not any(secrets.there[1].files.values())


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
@pytest.mark.parametrize("action", ["create", "replace", "empty", "delete"])
async def test_a_lost_reply_leaves_doubt_and_the_next_wipe_leaves_nothing(action: str, when: str) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper = keeper_of(secrets, memory)
    if action != "create":
        await keeper.fill(new_svid(), 1, (), yes)
    setattr(secrets, when, "replace" if action == "empty" else action)
    with pytest.raises(ConnectionLostError):
        await act(keeper, action, new_svid())
    assert memory.facts_for(MINE).state is SecretState.DOUBTFUL
    setattr(secrets, when, None)
    await keeper.delete(())
    assert secrets.there is None
    assert memory.facts_for(MINE).state is SecretState.ABSENT


async def test_a_leftover_of_the_same_task_is_filled_by_one_write() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    afterwards, newest = SecretMemory(), new_svid()
    afterwards.filled(MINE, 1, None)
    assert await keeper_of(secrets, afterwards).fill(newest, 2, (), yes)
    assert secrets.key == newest.private_key_pem
    assert secrets.calls == ["create", "create", "own_version", "replace"]


async def test_a_superseded_operator_changes_nothing_and_knows_that_it_knows_nothing() -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), new_svid()
    memory.absent()
    await keeper_of(secrets, memory).fill(theirs, 1, (), yes)
    late = SecretMemory()
    late.absent()
    assert not await keeper_of(secrets, late).fill(new_svid(), 2, (), no)
    assert secrets.key == theirs.private_key_pem
    assert late.facts_for(MINE).state is SecretState.DOUBTFUL


async def test_a_key_is_never_written_over_what_another_wrote_meanwhile() -> None:
    secrets, memory, winner = SecretsInMemory(), SecretMemory(), new_svid()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    late = SecretMemory()
    late.absent()

    async def overtaken() -> bool:
        other = SecretMemory()
        other.filled(MINE, 1, secrets.there[0] if secrets.there else None)
        await keeper_of(secrets, other).fill(winner, 2, (), yes)
        return True

    with pytest.raises(ConflictError):
        await keeper_of(secrets, late).fill(new_svid(), 2, (), overtaken)
    assert secrets.key == winner.private_key_pem
    assert late.facts_for(MINE).state is SecretState.DOUBTFUL


async def test_another_tasks_secret_is_neither_filled_nor_wiped_for_a_new_one() -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), new_svid()
    memory.absent()
    await keeper_of(secrets, memory, OTHER).fill(theirs, 1, (), yes)
    mine = SecretMemory()
    mine.absent()
    assert not await keeper_of(secrets, mine).fill(new_svid(), 1, (), yes)
    assert mine.facts_for(MINE).state is SecretState.TAKEN
    assert secrets.key == theirs.private_key_pem


async def test_what_is_filled_is_accounted_for_even_where_no_answer_comes() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.lose_after = "create"
    with pytest.raises(ConnectionLostError):
        await keeper_of(secrets, memory).fill(new_svid(), 3, (), yes)
    assert not memory.account_for(MINE, 3)
    assert memory.account_for(MINE, 4)


async def test_emptying_what_is_not_there_finds_that_out() -> None:
    memory = SecretMemory()
    memory.doubtful(MINE)
    await keeper_of(SecretsInMemory(), memory).empty(())
    assert memory.facts_for(MINE).state is SecretState.ABSENT


async def test_a_secret_that_a_predecessor_emptied_is_deleted_by_its_uid() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    memory.emptied(MINE, NOW - timedelta(hours=1), None)
    await keeper_of(secrets, memory).delete(())
    assert secrets.there is None
    assert secrets.calls == ["create", "replace", "delete"]


async def test_a_secret_that_a_predecessor_emptied_is_filled_again() -> None:
    secrets, memory, svid = SecretsInMemory(), SecretMemory(), new_svid()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    memory.emptied(MINE, NOW - timedelta(hours=1), None)
    assert await keeper_of(secrets, memory).fill(svid, 2, (), yes)
    assert secrets.key == svid.private_key_pem


async def test_emptied_again_the_first_time_counts() -> None:
    memory = SecretMemory()
    memory.emptied(MINE, NOW, Version("s", "1"))
    memory.emptied(MINE, NOW + timedelta(seconds=9), Version("s", "2"))
    assert memory.facts_for(MINE).emptied_at == NOW


def test_a_predecessors_secret_looks_taken_to_the_next_task_of_the_name() -> None:
    memory = SecretMemory()
    memory.filled(OTHER, 3, None)
    assert memory.facts_for(MINE).state is SecretState.TAKEN
    assert memory.facts_for(OTHER).generation == 3
