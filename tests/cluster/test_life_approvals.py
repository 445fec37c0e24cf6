"""A task that needs approval runs while people who may approve it say so of it as it is, and no longer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.approving import approval, denial, in_time
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.objects import TASK, task
from tests.cluster.people import GROUP, STRANGER, TENANT, People, refusal

NEEDS_ONE = """permit (principal, action, resource);
@id("four-eyes") forbid (principal, action, resource) unless { context.approved };
"""
NEEDS_TWO = """permit (principal, action, resource);
@id("six-eyes") forbid (principal, action, resource) unless { context.approvals >= 2 };
"""
OTHER_INTENT = {"purpose": "Refund order 4712", "actions": ["orders:read"]}
INTENT = {"purpose": "Refund order 4711", "actions": ["orders:read"]}
ERIN, FRANK = "erin@example.com", "frank@example.com"


def policy(cedar: str) -> Object:
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentPolicy",
        "metadata": {"name": "approvals"},
        "spec": {"cedar": cedar},
    }


@pytest.fixture(params=[NEEDS_ONE])
def four_eyes(request: pytest.FixtureRequest, team: Kubectl, people: People) -> Iterator[People]:
    """A namespace whose tasks need approval, in which tenant and stranger have the verb approve."""
    team.create(policy(request.param))
    team.wait_for("agentpolicy", "approvals", lambda seen: "accepted" in seen.get("status", {}))
    for user in (TENANT, STRANGER, ERIN):
        give(team, user, on_tasks("approve"))
    probe = team.create(task("probe", state="Suspended"))
    for user in (people.tenant, people.stranger):
        accepted(partial(user.create, denial(probe), "--dry-run=server"))
    team.delete("agenttask", "probe")
    yield people
    team.delete("agentpolicy", "approvals")


def waits(here: Kubectl, name: str = TASK) -> Object:
    return story.stands(here, "AwaitingApproval", name)


def message(of: Object) -> str:
    return str(story.conditions(of)["Finished"]["message"])


def test_task_waits_until_somebody_else_approves_it_as_it_is(team: Kubectl, four_eyes: People) -> None:
    four_eyes.tenant.create(task())
    waiting = waits(team)
    assert 'AgentPolicy/approvals, rule "four-eyes" allows it only with an approval.' in message(waiting)
    assert f'by who has the verb "approve" on agenttasks/{TASK} in {team.namespace}' in message(waiting)
    assert f"except {TENANT}" in message(waiting)

    four_eyes.tenant.create(approval(waiting, "own"))
    told = f"AgentApproval own does not count: {TENANT} asked for it"
    waiting = team.wait_for("agenttask", TASK, lambda seen: told in message(seen))
    assert story.serials(waiting) == []
    assert team.find("secret", f"agentid-{TASK}") is None

    four_eyes.stranger.create(approval(waiting, "yes"))
    running = story.runs(team)
    assert running["status"]["decision"]["approvers"] == [STRANGER]
    told_of = story.told(team, running, at_least=2)
    assert [each.reason for each in told_of] == ["ApprovalRequired", "CredentialIssued"]
    assert f"approved by {STRANGER}" in told_of[-1].note


def test_a_later_no_takes_the_credential_away_until_it_is_taken_back(
    team: Kubectl, four_eyes: People
) -> None:
    created = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(created, "yes"))
    story.runs(team)

    four_eyes.stranger.create(denial(created, "no", comment="Not today"))
    denied = story.stands(team, "ApprovalDenied")
    story.secret_gone_or_empty(team)
    assert f"denied by {STRANGER}: Not today" in message(denied)
    told = story.told(team, denied, at_least=2)
    assert (told[-1].reason, told[-1].kind) == ("ApprovalDenied", "Warning")

    team.delete("agentapproval", "no")
    story.runs(team)


def test_the_requesters_own_no_counts(team: Kubectl, four_eyes: People) -> None:
    created = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(created, "yes"))
    story.runs(team)
    four_eyes.tenant.create(denial(created, "no"))
    story.stands(team, "ApprovalDenied")
    story.secret_gone_or_empty(team)


def test_what_an_approval_allowed_ends_when_it_is_deleted(team: Kubectl, four_eyes: People) -> None:
    created = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(created, "yes"))
    story.runs(team)
    team.delete("agentapproval", "yes")
    assert story.serials(waits(team)) == []
    story.secret_gone_or_empty(team)


def test_what_an_approval_allowed_ends_when_it_expires(team: Kubectl, four_eyes: People) -> None:
    created = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(created, "yes", expiresAt=in_time(seconds=12)))
    story.runs(team)
    assert "AgentApproval yes does not count: it has expired" in message(waits(team))
    story.secret_gone_or_empty(team)


def test_a_change_of_intent_and_one_back_needs_another_approval(team: Kubectl, four_eyes: People) -> None:
    created = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(created, "yes"))
    story.runs(team)
    for number, intent in enumerate((OTHER_INTENT, INTENT), start=1):
        four_eyes.tenant.patch("agenttask", TASK, {"spec": {"intent": intent}})
        waiting = team.wait_for(
            "agenttask",
            TASK,
            lambda seen, number=number: (
                story.standing(seen) == "AwaitingApproval" and f"intent {number + 1}," in message(seen)
            ),
        )
        assert "AgentApproval yes does not count: it is about an intent that the task has not now" in message(
            waiting
        )
        story.secret_gone_or_empty(team)
    four_eyes.stranger.create(approval(waiting, "again"))
    assert story.runs(team)["spec"]["intent"]["purpose"] == INTENT["purpose"]


def test_an_approval_is_of_no_clone_and_of_no_later_task_of_the_name(
    team: Kubectl, four_eyes: People
) -> None:
    first = four_eyes.tenant.create(task())
    four_eyes.stranger.create(approval(first, "yes"))
    story.runs(team)
    team.delete("agenttask", TASK)
    # The same words again, before there is a task of that name: they are about one that is no more.
    four_eyes.stranger.create(approval(first, "replayed"))
    four_eyes.tenant.create([task(), task("clone")])
    for name in (TASK, "clone"):
        assert story.serials(waits(team, name)) == []


def test_the_right_to_approve_one_task_approves_no_other_by_its_uid(team: Kubectl, four_eyes: People) -> None:
    four_eyes.tenant.create([task("a"), task("b"), task("later")])
    asked = {name: waits(team, name) for name in ("a", "b", "later")}
    give(team, FRANK, on_tasks("approve", "a", "later"))
    frank = team.as_user(FRANK, [GROUP])
    assert 'takes the verb "approve" on agenttasks.agentid.dev/b' in refusal(
        lambda: frank.create(approval(asked["b"], "outright"))
    )
    accepted(partial(frank.create, denial(asked["a"]), "--dry-run=server"))

    names_both = {"name": "a", "uid": asked["b"]["metadata"]["uid"]}
    frank.create(approval(asked["b"], "crossed", taskRef=names_both))
    # What came after it was heard, so that was.
    frank.create(approval(asked["later"], "yes"))
    story.runs(team, "later")

    for name in ("a", "b"):
        waiting = team.get("agenttask", name)
        assert story.standing(waiting) == "AwaitingApproval"
        assert "credentialGeneration" not in waiting["status"]
        assert team.find("secret", f"agentid-{name}") is None


@pytest.mark.parametrize("four_eyes", [NEEDS_TWO], indirect=True)
def test_two_that_approve_at_once_are_two_and_one_who_does_twice_is_one(
    team: Kubectl, four_eyes: People
) -> None:
    created = four_eyes.tenant.create(task())
    erin = team.as_user(ERIN, ["agentid-test:tenants"])
    four_eyes.stranger.create(approval(created, "first"))
    four_eyes.stranger.create(approval(created, "twice"))
    team.wait_for("agenttask", TASK, lambda seen: f"Approved so far by {STRANGER}." in message(seen))
    four_eyes.tenant.create(task("raced"))
    raced = team.get("agenttask", "raced")
    with ThreadPoolExecutor() as pool:
        done = [
            pool.submit(who.create, approval(raced, name))
            for who, name in ((erin, "one"), (four_eyes.stranger, "other"))
        ]
        assert [each.result()["kind"] for each in done] == ["AgentApproval", "AgentApproval"]
    assert story.runs(team, "raced")["status"]["decision"]["approvers"] == [ERIN, STRANGER]
    assert story.standing(team.get("agenttask", TASK)) == "AwaitingApproval"


@pytest.mark.parametrize("word", ["approve", "deny"])
def test_what_is_said_while_no_operator_runs_counts_when_one_does(
    team: Kubectl, four_eyes: People, operator: OperatorProcess, word: str
) -> None:
    created = four_eyes.tenant.create(task())
    if word == "deny":
        four_eyes.stranger.create(approval(created, "yes"))
        story.runs(team)
    else:
        waits(team)
    operator.kill()
    said = approval(created, "late") if word == "approve" else denial(created, "late")
    four_eyes.stranger.create(said)
    operator.restart()
    if word == "approve":
        story.runs(team)
    else:
        story.stands(team, "ApprovalDenied")
        story.secret_gone_or_empty(team)
