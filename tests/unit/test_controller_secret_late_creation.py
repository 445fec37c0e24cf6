"""A creation without an answer may come late: an empty Secret holds its name until it no longer can."""

import pytest

from agentid.cluster.errors import ApiAnswerError, ConnectionLostError, ForbiddenError, TooManyRequestsError
from agentid.cluster.secrets import SecretManifest, Version
from agentid.controller.secret_keeper import SecretKeeper
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import SecretFacts, SecretState
from tests.unit.secrets_in_memory import MINE, NOW, OTHER, SecretsInMemory, keeper_of, new_svid, yes


class LateSecrets(SecretsInMemory):
    """The first request to create is lost on its way, and carried out when `comes` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.late: SecretManifest | None = None
        self.lose_before = "create"

    async def create(self, manifest: SecretManifest) -> Version:
        if self.lose_before == "create":
            self.late = manifest
        return await super().create(manifest)

    async def comes(self) -> None:
        """Carry the first request out after all, if the name is free."""
        self.lose_before = None
        if self.late is not None and self.there is None:
            await super().create(self.late)


async def _lost() -> tuple[LateSecrets, SecretMemory, SecretKeeper]:
    secrets, memory = LateSecrets(), SecretMemory()
    memory.absent()
    keeper = keeper_of(secrets, memory)
    with pytest.raises(ConnectionLostError):
        await keeper.fill(new_svid(), 1, (), yes)
    secrets.lose_before = None
    return secrets, memory, keeper


async def test_name_is_held_by_an_empty_secret_while_one_may_still_come() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    assert memory.facts_for(MINE) == SecretFacts(SecretState.ABSENT, unanswered_at=NOW)
    assert memory.facts_for(OTHER).unanswered_at is None

    await keeper.empty((), hold=True)

    assert memory.facts_for(MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=NOW, unanswered_at=NOW)
    await secrets.comes()
    assert secrets.key == b""
    await keeper.delete(())
    assert secrets.there is None


async def test_one_that_may_still_come_is_not_forgotten_when_another_was_written() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    await keeper.fill(new_svid(), 2, (), yes)

    await keeper.empty((), hold=True)
    await secrets.comes()

    assert memory.facts_for(MINE).unanswered_at == NOW
    assert secrets.key == b""


async def test_one_that_came_before_the_next_try_is_awaited_no_more() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    await secrets.comes()

    assert await keeper.fill(new_svid(), 2, (), yes)

    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=2)


async def test_one_that_was_found_is_awaited_no_more() -> None:
    secrets, memory, keeper = await _lost()
    await secrets.comes()

    await keeper.probe(1)

    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=1)


async def test_one_that_is_found_while_it_is_emptied_is_awaited_no_more() -> None:
    secrets, memory, keeper = await _lost()
    await secrets.comes()

    await keeper.empty((), hold=True)

    assert secrets.key == b""
    assert memory.facts_for(MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=NOW)


async def test_of_two_that_may_come_one_is_awaited_when_the_other_was_found() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    secrets.lose_after = "create"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(new_svid(), 2, (), yes)

    await keeper.empty((), hold=True)

    assert memory.facts_for(MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=NOW, unanswered_at=NOW)


async def test_one_secret_that_is_found_twice_is_one_that_came() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    secrets.lose_before = "create"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(new_svid(), 2, (), yes)
    await secrets.comes()

    await keeper.probe(2)
    assert await keeper.fill(new_svid(), 3, (), yes)

    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=3, unanswered_at=NOW)


async def test_one_that_was_answered_is_not_taken_for_the_one_that_may_come() -> None:
    secrets, memory, keeper = await _lost()
    await keeper.probe(1)
    assert await keeper.fill(new_svid(), 2, (), yes)
    secrets.lose_after = "replace"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(new_svid(), 3, (), yes)

    await keeper.probe(3)

    assert memory.facts_for(MINE).unanswered_at == NOW


async def test_name_is_not_held_by_what_is_deleted_anyway() -> None:
    secrets, memory, keeper = await _lost()

    assert not await keeper.delete(())

    assert memory.facts_for(MINE).state is SecretState.ABSENT
    assert secrets.there is None


@pytest.mark.parametrize("refusal", [ForbiddenError("no"), TooManyRequestsError("busy", 1.0)])
async def test_one_that_was_refused_is_not_awaited(refusal: ApiAnswerError) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.refuse = refusal
    with pytest.raises(type(refusal)):
        await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)

    assert memory.facts_for(MINE).unanswered_at is None
