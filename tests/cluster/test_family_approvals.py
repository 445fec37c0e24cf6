"""What a task was approved for ends with the approval, for all below it too; and who approves no child."""

from collections.abc import Callable
from functools import partial

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.places import CHECKOUT
from tests.cluster import story
from tests.cluster.approving import approval, denial, in_time
from tests.cluster.families import INTENT, STEP, TOP, child, grants, message, top_of, was_given
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.objects import task
from tests.cluster.people import GROUP, STRANGER, TENANT, People
from tests.cluster.policies import accepted as in_force
from tests.cluster.policies import agent_policy, waits

EXAMPLE = CHECKOUT / "deploy" / "examples" / "14-step-under-approval.yaml"
CAROL, ERIN = "carol@example.com", "erin@example.com"
PERMIT = "permit (principal, action, resource);\n"
TOPS_NEED_ONE = (
    PERMIT + "forbid (principal, action, resource) when { resource.depth == 0 } unless { context.approved };"
)
CHILDREN_NEED_ONE = TOPS_NEED_ONE.replace("== 0", "> 0")
MOST_STEPS = 16


def approver(wide: Kubectl, user: str = ERIN) -> Kubectl:
    """Somebody who was given the verb approve on all tasks of the namespace; it counts a moment later."""
    give(wide, user, on_tasks("approve"))
    return wide.as_user(user, [GROUP])


def says(here: Kubectl, manifest: Object) -> Object:
    """Have somebody give a yes or a no, once the right to do so counts."""
    return accepted(partial(here.create, manifest))


def test_what_is_under_a_task_waits_while_that_is_not_approved_any_more(
    wide: Kubectl, delegates: Kubectl
) -> None:
    in_force(wide, agent_policy(TOPS_NEED_ONE))
    erin = approver(wide)
    above = wide.create(task(TOP, intent=INTENT))
    says(erin, approval(above, "short", expiresAt=in_time(seconds=20)))
    story.runs(wide, TOP)
    delegates.create(child(above, "child"))
    serial = story.serials(story.runs(wide, "child"))
    for name in ("short", "long"):
        if name == "long":
            wide.delete("agentapproval", "long")
        story.stands(wide, "AwaitingApproval", TOP)
        waiting = story.stands(wide, "AwaitingParent", "child")
        assert f"{TOP}, which it is under, waits itself (AwaitingApproval)" in message(waiting)
        assert story.serials(waiting) == []
        story.secret_gone_or_empty(wide, "child")

        erin.create(approval(above, "long" if name == "short" else "again"))
        story.runs(wide, TOP)
        again = story.serials(story.runs(wide, "child"))
        assert again != serial


def test_neither_whom_it_is_done_for_nor_who_asked_for_the_task_above_approves_it(
    wide: Kubectl, people: People, delegates: Kubectl
) -> None:
    in_force(wide, agent_policy(CHILDREN_NEED_ONE))
    delegator = {"apiGroups": ["agentid.dev"], "resources": ["delegators"], "resourceNames": [CAROL]}
    give(wide, TENANT, {**delegator, "verbs": ["delegate"]})
    accepted(lambda: people.tenant.create(task(TOP, intent=INTENT, onBehalfOf=CAROL)))
    above = story.runs(wide, TOP)
    created = delegates.create(child(above, "child"))
    for number, (who, why) in enumerate(
        (
            (CAROL, f"{CAROL} is who it is done for"),
            (TENANT, f"{TENANT} asked for AgentTask {wide.namespace}/{TOP}, which it is under"),
            (STRANGER, f"{STRANGER} asked for it"),
        )
    ):
        says(approver(wide, who), approval(created, f"yes-{number}"))
        told = f"AgentApproval yes-{number} does not count: {why}."
        waiting = wide.wait_for("agenttask", "child", lambda seen, told=told: told in message(seen))
        assert story.standing(waiting) == "AwaitingApproval"
    assert not was_given(wide.get("agenttask", "child"))
    assert wide.find("secret", "agentid-child") is None

    says(approver(wide), approval(created, "yes"))
    assert story.runs(wide, "child")["status"]["decision"]["approvers"] == [ERIN]


def deny(here: Kubectl, erin: Kubectl, step: Object) -> None:
    assert here.get("agentapproval", "yes")
    erin.create(denial(step))


def withdraw(here: Kubectl, erin: Kubectl, step: Object) -> None:
    assert erin.get("agenttask", "step")["metadata"]["uid"] == step["metadata"]["uid"]
    here.delete("agentapproval", "yes")


def wait(here: Kubectl, erin: Kubectl, step: Object) -> None:
    """Nothing is done: the approval is one that expires."""


@pytest.mark.parametrize("lose", [deny, withdraw, wait], ids=["denied", "withdrawn", "expired"])
def test_a_grant_goes_with_its_approval(
    wide: Kubectl,
    delegates: Kubectl,
    lose: Callable[[Kubectl, Kubectl, Object], None],
) -> None:
    wide.apply(EXAMPLE)
    wide.wait_for(
        "agentpolicy", "refunds-by-approved-steps", lambda seen: seen.get("status", {}).get("accepted")
    )
    above = top_of(wide)
    step = delegates.create(child(above, "step", **STEP))
    waits(wide, "step", "AwaitingApproval", 'rule "steps-that-refund" allows it only with an approval')
    until = in_time(**{"seconds": 15} if lose is wait else {"hours": 1})
    erin = approver(wide)
    says(erin, approval(step, "yes", expiresAt=until))
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == ["step"])

    lose(wide, erin, step)

    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == [], story.PROMPTLY)
    story.stands(wide, "ApprovalDenied" if lose is deny else "AwaitingApproval", "step")
    assert story.serials(story.runs(wide, TOP)) == story.serials(above)


def test_a_step_too_many_waits_until_one_has_ended(wide: Kubectl) -> None:
    above = top_of(wide)
    names = [f"step-{number}" for number in range(MOST_STEPS)]
    step = {**STEP, "credential": {**STEP["credential"], "ttlSeconds": 300}}
    wide.create([child(above, name, **step) for name in names])
    wide.wait_for("agenttask", TOP, lambda seen: sorted(grants(seen)) == sorted(names), story.PROMPTLY)
    wide.create(child(above, "too-many", **step))
    waiting = story.stands(wide, "TooManyChildren", "too-many")
    assert f"has {MOST_STEPS} live steps, as many as it may have" in message(waiting)
    assert story.conditions(waiting)["Granted"]["status"] == "False"
    assert "too-many" not in grants(wide.get("agenttask", TOP))

    wide.patch("agenttask", names[0], {"spec": {"state": "Ended"}})

    story.stands(wide, "Running", "too-many")
    wide.wait_for("agenttask", TOP, lambda seen: sorted(grants(seen)) == sorted([*names[1:], "too-many"]))
