"""When policy is asked: at issue, and again whenever what it is asked about changes; what its answer does."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, pod, task
from tests.cluster.policies import PERMIT_ALL, accepted, agent_policy, revoked, says, waits

RULE = 'AgentPolicy/refunds, rule "{}"'
BOTH = "allowed by ClusterAgentPolicy/everything, AgentPolicy/refunds"
SUSPENDED = {"spec": {"state": "Suspended"}}
ACTIVE = {"spec": {"state": "Active"}}


def forbids(rule: str, when: str, action: str = "action", advice: str = "Ask for less.") -> Object:
    """A policy that permits everything but what its one rule forbids."""
    head = f'@id("{rule}") @advice("{advice}") forbid (principal, {action}, resource)'
    return agent_policy(f"{PERMIT_ALL}{head}\nwhen {{ {when} }};\n")


def only(action: str) -> str:
    """The scope of a rule about one action."""
    return f'action == Action::"{action}"'


@pytest.fixture
def running(team: Kubectl) -> Object:
    """A task whose pod has the credential and runs."""
    team.create([task(**ANY_POD), pod()])
    found = story.runs(team)
    playing.start(team, POD)
    return found


def still_runs(team: Kubectl, before: Object) -> None:
    """See that the operator has decided again and left a task as it was."""
    after = story.settled(team)
    assert story.serials(after) == story.serials(before)
    assert story.standing(after) == "Running"


def test_what_both_layers_allow_is_issued_and_says_by_which_policies(team: Kubectl) -> None:
    accepted(team, agent_policy(PERMIT_ALL))
    team.create(task())

    issued = story.runs(team)
    assert story.conditions(issued)["Approved"]["status"] == "True"
    assert says(issued) == BOTH
    decision = issued["status"]["decision"]
    assert decision["action"] == "issue"
    assert decision["policies"] == ["ClusterAgentPolicy/everything/policy0", "AgentPolicy/refunds/policy0"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", decision["digest"])
    (event,) = story.told(team, issued)
    assert event.reason == "CredentialIssued"
    assert BOTH in event.note


def test_policy_of_a_namespace_only_narrows(team: Kubectl) -> None:
    small = '@id("small") permit (principal, action, resource) when { resource.purpose like "*4711*" };\n'
    accepted(team, agent_policy(small))
    other = {"purpose": "Refund everything", "actions": ["orders:read"]}
    team.create([task(), task("other", intent=other)])

    story.runs(team)
    waiting = waits(team, "other", "AwaitingPolicy", "No rule of AgentPolicy/refunds permits it.")
    (event,) = story.told(team, waiting)
    assert (event.reason, event.kind) == ("PolicyDenied", "Warning")
    assert team.find("secret", "agentid-other") is None
    team.delete("agentpolicy", "refunds")

    # Without a policy of its own the cluster's alone decides.
    assert says(story.runs(team, "other")) == "allowed by ClusterAgentPolicy/everything"


def test_namespace_that_requires_policies_denies_when_its_last_one_goes(
    team: Kubectl, admin: Kubectl
) -> None:
    required = {"metadata": {"labels": {"agentid.dev/require-policy": "true"}}}
    accepted(team, agent_policy(PERMIT_ALL))
    admin.patch("namespace", team.namespace, required)
    team.create(task())
    story.runs(team)

    team.delete("agentpolicy", "refunds")

    revoked(team, TASK, "The namespace has the label agentid.dev/require-policy and no AgentPolicy")
    team.create(task("next"))
    waits(team, "next", "AwaitingPolicy", "Apply one, or have the platform team remove the label.")
    accepted(team, agent_policy(PERMIT_ALL))
    story.runs(team, "next")


def test_label_that_requires_policies_counts_as_soon_as_it_is_set(team: Kubectl, admin: Kubectl) -> None:
    team.create(task())
    story.runs(team)

    admin.patch("namespace", team.namespace, {"metadata": {"labels": {"agentid.dev/require-policy": "true"}}})

    revoked(team, TASK, "The namespace has the label agentid.dev/require-policy and no AgentPolicy")


def test_new_policy_that_forbids_a_running_task_takes_its_credential(team: Kubectl, running: Object) -> None:
    accepted(team, forbids("frozen", 'resource.purpose like "*4711*"', advice="Wait until Monday."))

    over = revoked(team, TASK, f"{RULE.format('frozen')} forbids it. Wait until Monday.")
    story.secret_emptied(team)
    assert story.serials(running)[0] in story.conditions(over)["CredentialIssued"]["message"]


def test_recalled_image_takes_a_first_credential_and_a_freeze_of_issuing_does_not(
    team: Kubectl, running: Object
) -> None:
    accepted(team, forbids("freeze", "true", only("issue")))
    still_runs(team, running)

    accepted(team, forbids("recalled", 'context.runningImages.contains("sha256:0")', only("renew")))

    revoked(team, TASK, f"{RULE.format('recalled')} forbids it.")


def test_changed_agent_is_decided_again(team: Kubectl, running: Object) -> None:
    accepted(team, forbids("owner", 'principal.owner == "nobody@example.com"'))
    still_runs(team, running)

    team.patch("agent", AGENT, {"spec": {"owner": "nobody@example.com"}})

    revoked(team, TASK, f"{RULE.format('owner')} forbids it.")


def test_changed_intent_is_decided_again(team: Kubectl, running: Object) -> None:
    accepted(team, forbids("all", 'resource.purpose like "*it all*"'))

    team.patch("agenttask", TASK, {"spec": {"intent": {"purpose": "Refund order 4712"}}})
    changed = team.wait_for(
        "agenttask",
        TASK,
        lambda seen: story.conditions(seen)["CredentialIssued"]["reason"] == "IntentChanged",
    )
    assert set(story.serials(running)).isdisjoint(story.serials(changed))
    assert changed["status"]["decision"]["action"] == "issue"
    assert len(changed["status"]["decision"]["policies"]) == 2
    team.patch("agenttask", TASK, {"spec": {"intent": {"purpose": "Refund it all"}}})

    revoked(team, TASK, f"{RULE.format('all')} forbids it.")


def test_resume_is_decided_again(team: Kubectl, running: Object) -> None:
    assert running
    team.patch("agenttask", TASK, SUSPENDED)
    story.stands(team, "Suspended")
    accepted(team, agent_policy(PERMIT_ALL))
    team.patch("agenttask", TASK, ACTIVE)
    resumed = story.runs(team)
    assert resumed["status"]["decision"]["action"] == "resume"
    team.patch("agenttask", TASK, SUSPENDED)
    story.stands(team, "Suspended")
    accepted(team, forbids("stays", "true", only("resume")))

    team.patch("agenttask", TASK, ACTIVE)

    over = story.ends(team, "Revoked")
    assert f"{RULE.format('stays')} forbids it." in story.conditions(over)["Finished"]["message"]
    story.secret_gone_or_empty(team)


def test_renewal_is_decided_again(team: Kubectl) -> None:
    accepted(team, agent_policy(f"permit (principal, {only('issue')}, resource);\n"))
    team.create(task(credential={"ttlSeconds": 30}))
    story.runs(team)

    # It ends with the one credential that it was allowed to have, not when the renewal of that is due.
    over = story.ends(team, "Expired")
    assert "no rule of policy permits to renew it" in story.conditions(over)["Finished"]["message"]
    assert over["status"]["credentialGeneration"] == 1
    began, ended = (datetime.fromisoformat(over["status"][each]) for each in ("startTime", "endTime"))
    assert ended - began >= timedelta(seconds=29)
    story.secret_gone_or_empty(team)


def test_renewal_that_a_rule_forbids_ends_the_task(team: Kubectl) -> None:
    accepted(team, agent_policy(PERMIT_ALL))
    team.create(task(credential={"ttlSeconds": 3600}))
    story.runs(team)

    accepted(team, forbids("no-next", "true", only("renew")))

    revoked(team, TASK, f"{RULE.format('no-next')} forbids it.")


def test_task_is_allowed_from_a_time_on_and_until_another(team: Kubectl) -> None:
    now = datetime.now(UTC)
    begins, ends = (now + timedelta(seconds=each) for each in (20, 50))
    accepted(
        team,
        agent_policy(
            '@id("office") permit (principal, action, resource) when { '
            f'context.time >= datetime("{begins:%Y-%m-%dT%H:%M:%SZ}") && '
            f'context.time < datetime("{ends:%Y-%m-%dT%H:%M:%SZ}") }};\n'
        ),
    )
    team.create(task())

    waits(team, TASK, "AwaitingPolicy", "No rule of AgentPolicy/refunds permits it.")
    story.runs(team)
    over = revoked(team, TASK, "No rule of AgentPolicy/refunds permits it.")
    began, ended = (datetime.fromisoformat(over["status"][each]) for each in ("startTime", "endTime"))
    assert began >= begins.replace(microsecond=0)
    assert ended >= ends.replace(microsecond=0)


def test_task_that_needs_an_approval_waits_and_says_for_what(team: Kubectl) -> None:
    advice = "Restricted data takes the approval of somebody else."
    text = f'{PERMIT_ALL}@id("restricted") @advice("{advice}") forbid (principal, action, resource)\n'
    accepted(
        team, agent_policy(f"{text}when {{ resource.sensitivity >= 3 }} unless {{ context.approved }};\n")
    )
    team.patch("agent", AGENT, {"spec": {"maxSensitivity": "Restricted"}})
    intent = {"purpose": "Read all", "actions": ["orders:read"], "sensitivity": "Restricted"}
    team.create([task(), task("restricted", intent=intent)])

    story.runs(team)
    said = f"{RULE.format('restricted')} allows it only with an approval. {advice}"
    waiting = waits(team, "restricted", "AwaitingApproval", said)
    assert story.conditions(waiting)["Approved"]["reason"] == "AwaitingApproval"
    (event,) = story.told(team, waiting)
    assert (event.reason, event.kind) == ("ApprovalRequired", "Normal")
    assert event.note.startswith(f"{said} It is approved as it is now (intent 1, ")
    assert team.find("secret", "agentid-restricted") is None


def test_running_task_that_comes_to_need_an_approval_loses_its_credential_and_waits(
    team: Kubectl, running: Object
) -> None:
    accepted(team, agent_policy("permit (principal, action, resource) when { context.approved };\n"))

    waits(team, TASK, "AwaitingApproval", "allows it only with an approval.")
    story.secret_emptied(team)
    accepted(team, agent_policy(PERMIT_ALL))

    again = story.runs(team)
    assert set(story.serials(running)).isdisjoint(story.serials(again))
