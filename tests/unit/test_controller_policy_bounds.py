"""What is kept of the policies of a layer, and what becomes of those for which there is no room."""

import pytest

from agentid.api.reasons import PolicyReason
from agentid.controller.installed_policy import InstalledPolicy
from agentid.controller.policy_statuses import status_of
from agentid.policy.engine import decide
from agentid.policy.layer import NAMESPACE_LIMIT
from tests.unit.policy_objects import PERMIT, PERMIT_ALL, Installed, policy
from tests.unit.policy_questions import NOW, question

LARGE = f"{PERMIT_ALL}//{'x' * 40_000}\n"


@pytest.fixture
async def installed() -> Installed:
    found = Installed()
    await found.take(policy(PERMIT_ALL, name="base", uid="u-0"))
    return found


def allows(installed: Installed) -> bool:
    return decide(question(pod=None), installed.policies.cluster, installed.policies.of("support")).allowed


async def take(installed: Installed, number: int, cedar: str = PERMIT, version: int = 1) -> InstalledPolicy:
    body = policy(cedar, namespace="support", name=f"p{number}", uid=f"u-p{number}", version=version)
    return await installed.take(body)


async def test_nothing_is_kept_of_a_text_for_which_there_is_no_room_and_nothing_is_allowed(
    installed: Installed,
) -> None:
    first = await take(installed, 1, LARGE)
    assert allows(installed)
    kept = {"accepted": {"cedar": LARGE, "digest": first.rules_digest, "generation": 1, "rules": 1}}
    body = policy(LARGE, namespace="support", name="p2", uid="u-p2", status=kept)
    found = await installed.take(body)
    assert (found.is_beyond, found.in_force, found.size) == (True, None, len(LARGE))
    assert found.status is not None
    assert found.status.accepted is None
    assert not allows(installed)
    status = status_of(found, NOW)
    assert status.accepted is None
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == ("False", PolicyReason.TOO_LARGE)
    assert "more than 65536 bytes of policies together" in condition.message
    assert condition.message.endswith("until others are deleted or shortened; then this one is read.")


async def test_text_in_the_status_is_not_kept_twice(installed: Installed) -> None:
    status = {"accepted": {"cedar": LARGE, "digest": f"sha256:{'0' * 64}", "generation": 1, "rules": 1}}
    found = await installed.take(policy(LARGE, namespace="support", uid="u-1", status=status))
    assert found.in_force is not None
    assert found.status is not None
    assert found.status.accepted is not None
    assert found.status.accepted.cedar is found.in_force.text


async def test_more_objects_than_a_namespace_may_have_are_not_looked_through(installed: Installed) -> None:
    for number in range(NAMESPACE_LIMIT.objects):
        assert not (await take(installed, number)).is_beyond
    assert allows(installed)
    more = await take(installed, 99, "permit(")
    assert more.is_beyond
    assert not allows(installed)
    # The platform's own are not counted with them, and what is there may be edited.
    assert not (await take(installed, 0, PERMIT_ALL, version=2)).is_beyond


async def test_room_that_others_leave_is_for_those_that_were_beyond(installed: Installed) -> None:
    for number in (1, 2, 3):
        await take(installed, number, LARGE)
    assert installed.policies.fitting("support") == []
    await installed.drop(policy(LARGE, namespace="support", name="p1", uid="u-p1"))
    fitting = installed.policies.fitting("support")
    assert [each.name for each in fitting] == ["p2"]
    assert not allows(installed)
    # The same state is shown again, and looked through this time.
    assert not (await take(installed, 2, LARGE)).is_beyond
    await installed.drop(policy(LARGE, namespace="support", name="p3", uid="u-p3"))
    assert allows(installed)


async def test_policy_of_an_answer_from_before_its_end_does_not_come_back(installed: Installed) -> None:
    body = policy(PERMIT, namespace="support", uid="u-1")
    await installed.take(body)
    await installed.drop(body)
    await installed.policies.take(installed.told[-1].resource, body)
    assert installed.policies.find("u-1") is None
