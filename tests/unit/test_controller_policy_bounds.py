"""What is kept of the policies of a layer, and what becomes of those for which there is no room."""

import json
from typing import Any

import pytest

from agentid.api.reasons import PolicyReason
from agentid.controller.policy_statuses import status_of
from agentid.policy.engine import decide
from agentid.policy.load import NAMESPACE_LIMIT, Load
from agentid.watched.installed_policy import InstalledPolicy
from tests.unit.policy_objects import FORBID, PERMIT, PERMIT_ALL, Installed, policy
from tests.unit.policy_questions import NOW, question, when

LARGE = f"{PERMIT_ALL}//{'x' * 40_000}\n"
PEOPLE = ", ".join(f'"u{number}"' for number in range(65))


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
    assert (found.is_beyond, found.in_force, found.load) == (True, None, Load())
    assert found.waits == Load(size=len(LARGE), objects=1)
    assert found.status is not None
    assert found.status.accepted is None
    assert not allows(installed)
    status = status_of(found, NOW)
    assert status.accepted is None
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == ("False", PolicyReason.TOO_LARGE)
    assert f"with it, its layer has {2 * len(LARGE)} bytes of text (at most 65536)" in condition.message
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


async def test_text_that_waits_is_read_again_beside_another_that_gives_up_room_for_its_own(
    installed: Installed,
) -> None:
    small = f"{PERMIT_ALL}//{'x' * 20_000}\n"
    first, second = await take(installed, 1, small), await take(installed, 2, PERMIT_ALL)
    await take(installed, 3, LARGE)
    assert (await installed.take(edited(1, LARGE, 2, first))).waits is not None
    assert (await installed.take(edited(2, small, 2, second))).waits is not None
    await installed.drop(policy(LARGE, namespace="support", name="p3", uid="u-p3"))
    # The first takes 20,000 bytes more than it has, and not 40,000: the second has room beside it.
    assert [each.name for each in installed.policies.fitting("support")] == ["p1", "p2"]


async def test_room_that_a_text_would_give_up_is_for_nobody_before_it_is_read(installed: Installed) -> None:
    first, second = await take(installed, 1, PERMIT_ALL * 200), await take(installed, 2, PERMIT_ALL)
    await take(installed, 3, LARGE)
    assert (await installed.take(edited(1, LARGE, 2, first))).waits is not None
    words = when(f"[{','.join(['1'] * 3500)}].contains(1)")
    assert (await installed.take(edited(2, words, 2, second))).waits is not None
    await installed.drop(policy(LARGE, namespace="support", name="p3", uid="u-p3"))
    assert [each.name for each in installed.policies.fitting("support")] == ["p1"]


async def test_policy_of_an_answer_from_before_its_end_does_not_come_back(installed: Installed) -> None:
    body = policy(PERMIT, namespace="support", uid="u-1")
    await installed.take(body)
    await installed.drop(body)
    await installed.policies.take(installed.told[-1].resource, body)
    assert installed.policies.find("u-1") is None


def edited(number: int, cedar: str, version: int, seen: InstalledPolicy | None = None) -> dict[str, Any]:
    """Return a policy of the namespace as it is after so many edits, with the status it was given."""
    status = (
        {}
        if seen is None
        else json.loads(status_of(seen, NOW).model_dump_json(by_alias=True, exclude_none=True))
    )
    return policy(
        cedar,
        namespace="support",
        name=f"p{number}",
        uid=f"u-p{number}",
        version=version,
        generation=version,
        status=status,
    )


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ("é" * 40_000, "the text has 80000 bytes; at most 65536 are allowed."),
        (when(f"[{','.join(['1'] * 5000)}].contains(1)"), "words and marks; at most 8192 are allowed"),
        (when(f"context.approvers.containsAny([{PEOPLE}])"), "names 65 approvers and groups"),
    ],
)
async def test_edit_beyond_what_one_text_may_be_leaves_the_text_before_in_force(
    installed: Installed, edit: str, why: str
) -> None:
    first = await take(installed, 1, PERMIT_ALL)
    found = await installed.take(edited(1, edit, 2, first))
    assert found.in_force is first.in_force
    assert allows(installed)
    (condition,) = status_of(found, NOW).conditions
    assert (condition.status, condition.reason) == ("False", PolicyReason.INVALID)
    assert why in condition.message
    assert condition.message.endswith(f"stays in force, digest {first.rules_digest}.")
    assert installed.changed == [None, "support"]


async def test_edit_for_which_its_layer_has_no_room_leaves_the_text_before_in_force(
    installed: Installed,
) -> None:
    first, _ = await take(installed, 1, PERMIT_ALL), await take(installed, 2, LARGE)
    found = await installed.take(edited(1, f"{FORBID}{LARGE}", 2, first))
    assert (found.in_force, found.is_beyond) == (first.in_force, False)
    assert allows(installed)
    status = status_of(found, NOW)
    assert status.accepted is not None
    assert (status.accepted.cedar, status.accepted.generation) == (PERMIT_ALL, 1)
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == ("False", PolicyReason.TOO_LARGE)
    size = len(FORBID) + 2 * len(LARGE)
    assert condition.message == (
        f"AgentPolicy/p1: with it, its layer has {size} bytes of text (at most 65536). The text accepted "
        f"before stays in force, digest {first.rules_digest}. When others are deleted or shortened, this one "
        "is read again."
    )
    assert installed.policies.fitting("support") == []
    await installed.drop(policy(LARGE, namespace="support", name="p2", uid="u-p2"))
    assert [each.name for each in installed.policies.fitting("support")] == ["p1"]
    now = await installed.take(edited(1, f"{FORBID}{LARGE}", 2, found))
    assert now.refusal == ""
    assert not allows(installed)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_after_a_restart_no_edit_takes_the_room_of_what_was_in_force(
    installed: Installed, order: tuple[int, int]
) -> None:
    first, second = await take(installed, 1, PERMIT_ALL), await take(installed, 2, LARGE)
    waits = await installed.take(edited(1, f"{FORBID}{LARGE}", 2, first))
    stored = {1: edited(1, f"{FORBID}{LARGE}", 3, waits), 2: edited(2, LARGE, 3, second)}
    for status in (stored[1]["status"], edited(1, "", 2, first)["status"]):
        # The edit was looked at before the restart, or came while no operator was there.
        stored[1]["status"] = status
        again = Installed(listed=False)
        base = await installed.take(policy(PERMIT_ALL, name="base", uid="u-0", version=2))
        kept = json.loads(status_of(base, NOW).model_dump_json(by_alias=True, exclude_none=True))
        await again.take(policy(PERMIT_ALL, name="base", uid="u-0", version=3, status=kept))
        for number in order:
            await again.take(stored[number])
        assert allows(again)
        again.all_listed()
        assert again.policies.fitting("support") == []
        found = await again.take(stored[1])
        assert text_of(found) == PERMIT_ALL
        assert allows(again)
        assert not again.policies.of("support").too_large


async def test_at_the_start_what_was_never_accepted_waits_for_those_that_were() -> None:
    again = Installed(listed=False)
    found = await again.take(policy(PERMIT_ALL, name="base", uid="u-0"))
    assert (text_of(found), found.is_beyond) == (None, True)
    assert not allows(again)
    again.all_listed()
    assert [each.name for each in again.policies.fitting("")] == ["base"]
    found = await again.take(policy(PERMIT_ALL, name="base", uid="u-0"))
    assert text_of(found) == PERMIT_ALL
    assert allows(again)


def text_of(found: InstalledPolicy) -> str | None:
    return found.in_force.text if found.in_force is not None else None
