"""Whose Secret has a name is found out without harm, and nothing is forgotten by looking."""

import pytest

from agentid.cluster.errors import ConflictError, ConnectionLostError, ForbiddenError
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import SecretFacts, SecretState
from tests.unit.secrets_in_memory import MINE, NOW, OTHER, SecretsInMemory, keeper_of, new_svid, yes


@pytest.mark.parametrize(
    ("owner", "state"),
    [(None, SecretState.ABSENT), (MINE, SecretState.FILLED), (OTHER, SecretState.TAKEN)],
)
async def test_a_probe_tells_absent_own_and_foreign_apart(owner: str | None, state: SecretState) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    if owner is not None:
        before = SecretMemory()
        before.absent()
        await keeper_of(secrets, before, owner).fill(new_svid(), 1, (), yes)
    memory.doubtful(MINE)
    key = secrets.key
    await keeper_of(secrets, memory).probe(1)
    assert memory.facts_for(MINE).state is state
    assert secrets.key == key


async def test_what_a_probe_found_needs_no_second_question() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    memory.doubtful(MINE)
    await keeper_of(secrets, memory).probe(1)
    await keeper_of(secrets, memory).delete(())
    assert secrets.there is None
    assert secrets.calls == ["create", "own_version", "delete"]


async def test_a_predecessors_secret_is_deleted_though_its_successor_looked_for_the_name() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    predecessor, successor = keeper_of(secrets, memory, OTHER), keeper_of(secrets, memory)
    await predecessor.fill(new_svid(), 1, (), yes)
    await predecessor.empty(())
    await successor.probe(0)
    assert memory.facts_for(MINE).state is SecretState.TAKEN
    assert memory.facts_for(OTHER).emptied_at == NOW
    await predecessor.delete(())
    assert secrets.there is None
    assert memory.facts_for(MINE).state is SecretState.ABSENT


async def test_a_successor_sees_that_the_name_became_free() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory, OTHER).fill(new_svid(), 1, (), yes)
    secrets.there = None
    await keeper_of(secrets, memory).probe(0)
    assert memory.facts_for(MINE).state is SecretState.ABSENT


@pytest.mark.parametrize(("written", "generation"), [(False, 1), (True, 2)])
async def test_what_another_operator_recorded_is_looked_for(*, written: bool, generation: int) -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    memory.check(MINE, 1)
    assert memory.facts_for(MINE).generation == 1, "one's own is accounted for"
    memory.check(MINE, 2)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.DOUBTFUL, overtaken=True)
    if written:
        theirs.filled(MINE, 1, None)
        await keeper_of(secrets, theirs).fill(new_svid(), 2, (), yes)
    await keeper_of(secrets, memory).probe(2)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=generation)


async def test_what_is_tried_before_a_renewal_changes_nothing_that_is_known() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper = keeper_of(secrets, memory)
    await keeper.fill(new_svid(), 1, (), yes)
    await keeper.probe(2)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=1)
    await keeper.empty(())
    await keeper.probe(2)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=NOW)
    memory.doubtful(MINE)
    await keeper.probe(2)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.DOUBTFUL)


async def test_a_dry_run_does_not_make_ones_own_secret_anothers() -> None:
    secrets, memory, planted = SecretsInMemory(), SecretMemory(), SecretMemory()
    memory.absent()
    planted.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    secrets.there = None
    await keeper_of(secrets, planted, OTHER).fill(new_svid(), 1, (), yes)
    for _ in range(3):
        with pytest.raises(ConflictError):
            await keeper_of(secrets, memory).fill(new_svid(), 2, (), yes)
        assert memory.facts_for(MINE).state is SecretState.DOUBTFUL
    await keeper_of(secrets, memory).delete(())
    assert secrets.there is None, "what has the name is emptied, and goes"


@pytest.mark.parametrize("lost", [True, False])
async def test_what_could_not_be_wiped_of_a_predecessor_is_not_forgotten_for_its_successor(
    *, lost: bool
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory, OTHER).fill(new_svid(), 1, (), yes)
    after_restart = SecretMemory()
    predecessor, successor = keeper_of(secrets, after_restart, OTHER), keeper_of(secrets, after_restart)
    secrets.refuse = ConnectionLostError("empty") if lost else ForbiddenError("frozen")
    with pytest.raises(type(secrets.refuse)):
        await predecessor.delete(())
    secrets.refuse = None
    assert after_restart.facts_for(MINE) == SecretFacts(SecretState.TAKEN, predecessors=True)

    await successor.probe(0)

    assert after_restart.facts_for(OTHER).state is SecretState.DOUBTFUL
    await predecessor.delete(())
    assert secrets.there is None
