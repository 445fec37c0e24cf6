"""A write that is refused changes nothing, neither in the Secret nor in what is remembered of it."""

import pytest

from agentid.cluster.errors import (
    AdmissionRefusedError,
    ApiAnswerError,
    FixedFieldError,
    ForbiddenError,
    InvalidError,
    TooManyRequestsError,
)
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import SecretFacts, SecretState
from tests.unit.secrets_in_memory import MINE, SecretsInMemory, act, keeper_of, new_svid, yes

REFUSALS = [
    AdmissionRefusedError("frozen", "change-freeze.example.com"),
    ForbiddenError("exceeded quota"),
    InvalidError("422"),
    FixedFieldError("immutable"),
    TooManyRequestsError("busy", 1.0),
]
_AS = {"fill": "replace", "empty": "empty", "delete": "delete"}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("action", ["fill", "empty", "delete", "probe"])
async def test_a_refusal_leaves_what_is_known_as_it_was_and_never_makes_it_anothers(
    action: str, refusal: ApiAnswerError
) -> None:
    secrets, memory, svid = SecretsInMemory(), SecretMemory(), new_svid()
    memory.absent()
    keeper = keeper_of(secrets, memory)
    await keeper.fill(svid, 1, (), yes)
    secrets.refuse = refusal

    with pytest.raises(type(refusal)):
        await (keeper.probe(1) if action == "probe" else act(keeper, _AS[action], svid))

    assert memory.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=1)
    secrets.refuse = None
    await keeper.delete(())
    assert secrets.there is None


async def test_a_refused_first_write_leaves_nothing_and_no_doubt() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.refuse = ForbiddenError("exceeded quota")
    with pytest.raises(ForbiddenError):
        await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    assert memory.facts_for(MINE).state is SecretState.ABSENT


async def test_a_refused_renewal_over_a_leftover_leaves_what_the_status_says() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await keeper_of(secrets, memory).fill(new_svid(), 1, (), yes)
    afterwards = SecretMemory()
    afterwards.filled(MINE, 1, None)

    async def then_frozen() -> bool:
        secrets.refuse = AdmissionRefusedError("frozen", "change-freeze.example.com")
        return True

    with pytest.raises(AdmissionRefusedError):
        await keeper_of(secrets, afterwards).fill(new_svid(), 2, (), then_frozen)
    assert afterwards.facts_for(MINE) == SecretFacts(SecretState.FILLED, generation=1)


async def test_a_planted_secret_of_another_type_is_taken_unless_it_was_this_tasks_own() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    secrets.refuse = FixedFieldError("type: field is immutable")
    memory.doubtful(MINE)
    await keeper_of(secrets, memory).empty(())
    assert memory.facts_for(MINE).state is SecretState.TAKEN
    memory.filled(MINE, 1, None)
    memory.doubtful(MINE)
    with pytest.raises(FixedFieldError):
        await keeper_of(secrets, memory).empty(())
    assert memory.facts_for(MINE).state is SecretState.DOUBTFUL
