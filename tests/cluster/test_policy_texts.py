"""Which text of a policy is in force: an invalid one replaces none, whoever restarts, and says where."""

import hashlib

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.objects import TASK, task
from tests.cluster.people import refusal
from tests.cluster.policies import PERMIT_ALL, accepted, agent_policy, refused, waits

FROZEN = f'{PERMIT_ALL}@id("frozen")\nforbid (principal, action, resource)\nwhen {{ resource.depth == 0 }};\n'
INVALID = (
    f'{PERMIT_ALL}@id("frozen")\nforbid (principal, action, resource)\nwhen {{ resource.depht == 0 }};\n'
)
WHERE = 'AgentPolicy/refunds: line 4, column 17, rule "frozen"'
BY_FROZEN = 'AgentPolicy/refunds, rule "frozen" forbids it.'
BROKEN = {"does not parse": "permit (principal;\n", "does not fit the schema": INVALID}


def digest(text: str) -> str:
    """The digest of a text, as sha256sum prints it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def condition(policy: Object) -> Object:
    """What a policy says of its text."""
    return story.conditions(policy)["Accepted"]


def test_status_carries_the_text_in_force_and_its_digest(team: Kubectl) -> None:
    found = accepted(team, agent_policy(FROZEN))

    assert found["status"]["accepted"] == {
        "cedar": FROZEN,
        "digest": digest(FROZEN),
        "generation": 1,
        "rules": 2,
    }
    assert (condition(found)["reason"], condition(found)["message"]) == ("Valid", "in force, 2 rules")
    (event,) = story.told(team, found)
    assert (event.reason, event.action, event.kind) == ("PolicyAccepted", "Accept", "Normal")
    assert digest(FROZEN) in event.note
    changed = accepted(team, agent_policy(PERMIT_ALL))
    assert changed["status"]["accepted"]["digest"] == digest(PERMIT_ALL)
    assert changed["status"]["accepted"]["generation"] == 2


@pytest.mark.parametrize("how", BROKEN)
def test_invalid_text_changes_nothing_after_a_restart_neither(
    team: Kubectl, operator: OperatorProcess, how: str
) -> None:
    before = accepted(team, agent_policy(FROZEN))
    refusals = operator.metric("agentid_policy_refusals_total")

    after = refused(team, agent_policy(BROKEN[how]))

    assert condition(after)["reason"] == "Invalid"
    assert "AgentPolicy/refunds: line " in condition(after)["message"]
    stays = f"The text accepted before stays in force, digest {digest(FROZEN)}."
    assert condition(after)["message"].endswith(stays)
    assert after["status"]["accepted"] == before["status"]["accepted"]
    event = story.told(team, after, at_least=2)[-1]
    assert (event.reason, event.action, event.kind) == ("PolicyRefused", "Accept", "Warning")
    assert event.note == condition(after)["message"]
    assert operator.metric("agentid_policy_refusals_total") == refusals + 1
    team.create(task())
    waits(team, TASK, "AwaitingPolicy", BY_FROZEN)

    operator.restart()

    team.create(task("next"))
    waits(team, "next", "AwaitingPolicy", BY_FROZEN)
    waits(team, TASK, "AwaitingPolicy", BY_FROZEN)
    assert team.get("agentpolicy", "refunds")["status"] == after["status"], "there is nothing new to tell"
    accepted(team, agent_policy(PERMIT_ALL))
    story.runs(team)
    story.runs(team, "next")


def test_refusal_says_line_and_column(team: Kubectl) -> None:
    found = refused(team, agent_policy(INVALID))

    assert condition(found)["message"] == (
        f"{WHERE}: attribute `depht` on entity type `Task` not found. "
        "None was accepted before, so that it permits nothing."
    )
    assert "accepted" not in found["status"]
    team.create(task())
    waits(team, TASK, "AwaitingPolicy", "No rule of AgentPolicy/refunds permits it.")


def test_nobody_but_the_operator_says_what_is_in_force(team: Kubectl) -> None:
    found = accepted(team, agent_policy(FROZEN))
    forged = {"accepted": {**found["status"]["accepted"], "cedar": PERMIT_ALL, "digest": digest(PERMIT_ALL)}}
    anybody = team.as_user("mallory@example.com", ["system:masters"])

    said = refusal(
        lambda: anybody.patch("agentpolicy", "refunds", {"status": forged}, "--subresource=status")
    )

    assert "as it holds the text in force" in said
    assert team.get("agentpolicy", "refunds")["status"] == found["status"]
