"""Which text of a policy is in force, after refused edits and restarts too, and in which layer it is."""

import asyncio
import json
from typing import Any

import pytest

from agentid.controller.policy_statuses import status_of
from agentid.policy.accept import AcceptedPolicy, accept
from agentid.policy.engine import decide
from agentid.policy.vocabulary import Action
from agentid.watched import installed_policy as module
from agentid.watched import policies
from tests.unit.policy_objects import BROKEN, FORBID, PERMIT, PERMIT_ALL, Installed, policy
from tests.unit.policy_questions import NOW, question

UNREADABLE = {"accepted": {"cedar": PERMIT, "digest": "md5:1", "generation": 1, "rules": 1}}


@pytest.fixture
def installed() -> Installed:
    return Installed()


def written(found: module.InstalledPolicy) -> dict[str, Any]:
    """Return the status that is written for a policy, as the API server keeps it."""
    status: dict[str, Any] = json.loads(
        status_of(found, NOW).model_dump_json(by_alias=True, exclude_none=True)
    )
    return status


def text_in_force(found: module.InstalledPolicy) -> str | None:
    return found.in_force.text if found.in_force is not None else None


def allows(installed: Installed, action: Action = Action.ISSUE, namespace: str = "support") -> bool:
    layers = installed.policies.cluster, installed.policies.of(namespace)
    return decide(question(action=action, pod=None), *layers).allowed


async def test_accepted_text_is_in_force(installed: Installed) -> None:
    found = await installed.take(policy(PERMIT))
    assert text_in_force(found) == PERMIT
    assert (found.refusal, found.in_force_generation, found.is_lost) == ("", 1, False)
    assert found.source == "ClusterAgentPolicy/default"
    assert installed.changed == [None]
    assert installed.told == [found]
    assert allows(installed)


async def test_edit_takes_the_place_of_the_text_before(installed: Installed) -> None:
    await installed.take(policy(PERMIT), policy(FORBID, version=2, generation=2))
    assert not allows(installed)
    assert installed.changed == [None, None]


async def test_refused_edit_leaves_the_text_before_in_force(installed: Installed) -> None:
    first = await installed.take(policy(PERMIT))
    edited = policy(BROKEN, version=3, generation=2, status=written(first))
    found = await installed.take(edited)
    assert (text_in_force(found), found.in_force_generation, found.generation) == (PERMIT, 1, 2)
    assert "line 2, column 17" in found.refusal
    assert allows(installed)
    assert installed.changed == [None]


async def test_refused_edit_leaves_a_text_in_force_of_which_no_status_tells_yet(installed: Installed) -> None:
    await installed.take(policy(PERMIT_ALL, name="base", uid="u-0"))
    found = await installed.take(policy(FORBID), policy(BROKEN, version=2, generation=2))
    assert (text_in_force(found), found.in_force_generation) == (FORBID, 1)
    assert not allows(installed)
    # The status that is written then holds it, so that it stays in force after a restart too.
    restarted = Installed()
    await restarted.take(policy(PERMIT_ALL, name="base", uid="u-0"))
    again = await restarted.take(policy(BROKEN, version=3, generation=2, status=written(found)))
    assert (text_in_force(again), again.in_force_generation) == (FORBID, 1)
    assert not allows(restarted)


async def test_refused_edits_leave_the_newest_accepted_text_in_force(installed: Installed) -> None:
    first = await installed.take(policy(PERMIT))
    old = written(first)
    found = await installed.take(
        policy(FORBID, version=2, generation=2, status=old),
        policy(BROKEN, version=3, generation=3, status=old),
        policy(BROKEN + PERMIT, version=4, generation=4, status=old),
    )
    assert (text_in_force(found), found.in_force_generation) == (FORBID, 2)


async def test_text_that_another_replica_accepted_meanwhile_is_newer_than_what_is_remembered(
    installed: Installed,
) -> None:
    others = Installed()
    accepted = written(await others.take(policy(FORBID, version=2, generation=2)))
    found = await installed.take(policy(PERMIT), policy(BROKEN, version=4, generation=3, status=accepted))
    assert (text_in_force(found), found.in_force_generation) == (FORBID, 2)
    assert not allows(installed)


async def test_after_a_restart_the_text_in_the_status_is_in_force(installed: Installed) -> None:
    status = written(await Installed().take(policy(PERMIT)))
    found = await installed.take(policy(BROKEN, version=9, generation=2, status=status))
    assert text_in_force(found) == PERMIT
    assert found.refusal
    assert allows(installed)


@pytest.mark.parametrize("cedar", [BROKEN, "", 7, None, "permit(", "x" * 70_000])
async def test_text_that_was_never_accepted_permits_nothing(installed: Installed, cedar: object) -> None:
    found = await installed.take(policy(cedar))
    assert found.in_force is None
    assert found.refusal
    assert not found.is_lost
    assert installed.policies.cluster.sources == ("ClusterAgentPolicy/default",)
    assert not allows(installed)


async def test_never_accepted_policy_of_a_namespace_denies_there_and_only_there(installed: Installed) -> None:
    await installed.take(policy(PERMIT), policy(BROKEN, namespace="support", name="own", uid="u-2"))
    assert not allows(installed)
    assert allows(installed, namespace="other")


async def test_status_of_an_earlier_object_of_the_name_does_not_count(installed: Installed) -> None:
    found = await installed.take(policy(PERMIT), policy(BROKEN, uid="u-2", version=2))
    assert found.in_force is None
    assert not allows(installed)
    assert installed.changed == [None, None]


@pytest.mark.parametrize(
    "status",
    [
        {"accepted": {"cedar": BROKEN, "digest": f"sha256:{'0' * 64}", "generation": 1, "rules": 1}},
        UNREADABLE,
    ],
    ids=["no longer accepted", "unreadable status"],
)
async def test_accepted_text_that_cannot_be_read_any_more_is_lost(
    installed: Installed, status: dict[str, Any]
) -> None:
    await installed.take(policy(PERMIT, name="base", uid="u-0"))
    own = policy(BROKEN, namespace="support", name="own", generation=2, status=status)
    found = await installed.take(own)
    assert found.is_lost
    assert installed.policies.lost("support") == ("AgentPolicy/own",)
    assert installed.policies.lost("other") == ()
    assert installed.changed == [None, "support"]
    await installed.take(policy(PERMIT, namespace="support", name="own", version=2, generation=3))
    assert installed.policies.lost("support") == ()
    assert allows(installed)


async def test_lost_policy_of_the_cluster_is_missed_everywhere_until_it_is_gone(installed: Installed) -> None:
    body = policy(BROKEN, status=UNREADABLE)
    await installed.take(body)
    assert installed.policies.lost("any") == ("ClusterAgentPolicy/default",)
    await installed.drop(body)
    assert installed.policies.lost("any") == ()


async def test_older_state_is_ignored(installed: Installed) -> None:
    await installed.take(policy(FORBID, version=5, generation=2), policy(PERMIT, version=5))
    await installed.take(policy(PERMIT, version=4))
    assert not allows(installed)
    assert len(installed.told) == 1


async def test_older_state_that_is_looked_through_longer_is_ignored(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()
    monkeypatch.setattr(policies.asyncio, "to_thread", _late_for(PERMIT, waits))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        older = group.create_task(installed.take(policy(PERMIT)))
        await asyncio.sleep(0)
        await installed.take(policy(FORBID, version=2, generation=2))
        waits.set()
        await older
    assert not allows(installed)


async def test_policy_that_goes_while_it_is_looked_through_does_not_come_back(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()
    monkeypatch.setattr(policies.asyncio, "to_thread", _late_for(PERMIT, waits))
    body = policy(PERMIT)
    async with asyncio.timeout(10):
        taking = asyncio.create_task(installed.policies.take(module.Resource("v1", "P", "ps"), body))
        await asyncio.sleep(0)
        await installed.drop(body)
        waits.set()
        await taking
    assert installed.policies.installed() == []
    assert not allows(installed)
    # One of another UID is another policy, and is there.
    waits.set()
    await installed.take(policy(PERMIT, uid="u-2", version=9))
    assert allows(installed)


def _late_for(cedar: str, event: asyncio.Event) -> Any:  # noqa: ANN401 - in place of asyncio.to_thread
    async def to_thread(function: Any, *of: Any, **named: Any) -> Any:  # noqa: ANN401
        if function is module.look_through and of[1]["spec"]["cedar"] == cedar:
            await event.wait()
        return function(*of, **named)

    return to_thread


async def test_deleted_policy_holds_no_longer(installed: Installed) -> None:
    permit, forbid = policy(PERMIT), policy(FORBID, name="freeze", uid="u-2")
    await installed.take(permit, forbid)
    assert not allows(installed)
    await installed.drop(forbid)
    assert allows(installed)
    await installed.drop(permit)
    assert not allows(installed)
    assert installed.policies.cluster.sources == ()
    assert installed.changed == [None] * 4


async def test_end_of_another_object_of_the_name_changes_nothing(installed: Installed) -> None:
    await installed.take(policy(PERMIT, uid="u-2"))
    await installed.drop(policy(PERMIT, uid="u-1"))
    await installed.drop(policy(PERMIT, uid="u-2", namespace="support"))
    await installed.drop(policy(PERMIT, uid="u-2", name="other"))
    assert allows(installed)
    assert installed.changed == [None]


async def test_each_namespace_has_a_layer_of_its_own(installed: Installed) -> None:
    forbid = policy(FORBID, namespace="support", name="own", uid="u-2")
    await installed.take(policy(PERMIT), forbid)
    assert installed.changed == [None, "support"]
    assert not allows(installed, namespace="support")
    assert allows(installed, namespace="other")
    assert installed.policies.of("other").sources == ()
    await installed.drop(forbid)
    assert allows(installed, namespace="support")
    assert installed.changed == [None, "support", "support"]


async def test_layer_is_made_once_for_each_version(installed: Installed) -> None:
    await installed.take(policy(PERMIT))
    layer = installed.policies.cluster
    assert installed.policies.cluster is layer
    await installed.take(policy(PERMIT, version=2, status={"observedGeneration": 1}))
    assert installed.policies.cluster is layer
    assert installed.changed == [None]


async def test_text_that_is_as_it_was_is_not_looked_through_again(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def looked_through(source: str, text: str) -> AcceptedPolicy:
        texts.append(text)
        return accept(source, text)

    monkeypatch.setattr(module, "accept", looked_through)
    await installed.take(policy(PERMIT, version=2))
    await installed.take(policy(PERMIT, version=3, status={"observedGeneration": 1}))
    await installed.take(policy(FORBID, version=1))
    assert texts == [PERMIT]


async def test_text_on_which_the_engine_panics_is_refused_and_stops_nothing(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicError(BaseException):
        """What a panic of the engine is."""

    def panics(source: str, text: str) -> AcceptedPolicy:
        if text == FORBID:
            raise PanicError
        return accept(source, text)

    monkeypatch.setattr(module, "accept", panics)
    found = await installed.take(policy(PERMIT), policy(FORBID, version=2, generation=2))
    assert text_in_force(found) == PERMIT
    assert found.refusal == "ClusterAgentPolicy/default: the text could not be looked through: PanicError"


async def test_policy_permits_what_it_is_about_and_nothing_else(installed: Installed) -> None:
    await installed.take(policy(PERMIT))
    assert allows(installed, Action.ISSUE)
    assert not allows(installed, Action.RENEW)
