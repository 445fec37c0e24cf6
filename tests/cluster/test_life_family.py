"""A child has no more than its parent and ends with it, however deep; a step lets its parent do more."""

import json
from datetime import timedelta

import pytest

from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.families import (
    INTENT,
    NARROW,
    REFUND,
    STEP,
    TOP,
    all_end,
    child,
    grants,
    line_of,
    message,
    top_of,
    was_given,
)
from tests.cluster.objects import AGENT, ANY_POD, POD, agent, pod, task
from tests.cluster.people import GROUP, STRANGER, TENANT, People, refusal

# Who may be a parent's child.


def test_the_pod_of_the_parent_makes_a_child_and_another_pod_does_not(wide: Kubectl, people: People) -> None:
    assert people.tenant
    wide.create([pod(POD, of=TOP), task(TOP, intent=INTENT, **ANY_POD)])
    playing.scheduled(wide, POD)
    above = story.runs(wide, TOP)
    for name, uid in (("own", above["status"]["boundPod"]["uid"]), ("others", "5b0c3a3e-0000-4000-8000-1")):
        as_pod = wide.as_user(TENANT, [GROUP], {"authentication.kubernetes.io/pod-uid": [uid]})
        as_pod.create(child(above, name, **ANY_POD))
    refused = story.stands(wide, "DelegationRefused", "others")
    assert f"{TENANT} asked for it, and is neither the pod bound to its parent" in message(refused)
    wide.create(pod("second", of="own"))
    playing.scheduled(wide, "second")
    found = story.runs(wide, "own")["status"]["delegation"]
    assert [(each["name"], each["uid"]) for each in found["chain"]] == [(TOP, above["metadata"]["uid"])]


def test_what_leads_to_no_living_parent_is_refused_with_a_reason(wide: Kubectl, delegates: Kubectl) -> None:
    above = top_of(wide)
    elsewhere = {"metadata": {"name": "not-here", "uid": above["metadata"]["uid"]}}
    wrong_uid = {"metadata": {"name": TOP, "uid": "5b0c3a3e-0000-4000-8000-000000000009"}}
    for of, name, why in (
        (elsewhere, "a", "does not exist"),
        (wrong_uid, "b", "has another UID"),
    ):
        delegates.create(child(of, name))
        assert why in message(story.stands(wide, "DelegationRefused", name))
    itself = {"metadata": {"name": "itself", "uid": above["metadata"]["uid"]}}
    said = refusal(lambda: delegates.create(child(itself, "itself")))
    assert "parentRef names the task itself" in said
    wide.patch("agenttask", TOP, {"spec": {"state": "Ended"}})
    story.ends(wide, "Ended", TOP)
    delegates.create(child(above, "late"))
    late = story.ends(wide, "ParentEnded", "late")
    assert "has ended (Ended)" in message(late)
    assert not was_given(late)


def test_a_sixth_below_is_refused(wide: Kubectl, delegates: Kubectl) -> None:
    *_, last = line_of(wide, delegates)
    delegates.create(child(wide.get("agenttask", last), "too-deep"))
    assert "more than 5 tasks are above it" in message(story.stands(wide, "DelegationRefused", "too-deep"))


# What comes down.


@pytest.mark.parametrize("how", ["ended", "deleted", "its Agent"])
def test_an_end_reaches_every_descendant(wide: Kubectl, delegates: Kubectl, how: str) -> None:
    wide.create(agent("of-the-top", **wide.get("agent", AGENT)["spec"]))
    names = line_of(wide, delegates, agentRef={"name": "of-the-top"})
    if how == "ended":
        wide.patch("agenttask", TOP, {"spec": {"state": "Ended"}})
    elif how == "deleted":
        wide.delete("agenttask", TOP)
    else:
        wide.patch("agent", "of-the-top", {"spec": {"disabled": True}})
    all_end(wide, names[1:], "ParentEnded")


def test_a_suspension_reaches_every_descendant_and_is_over_for_all(wide: Kubectl, delegates: Kubectl) -> None:
    names = line_of(wide, delegates)
    wide.patch("agenttask", TOP, {"spec": {"state": "Suspended", "stateReason": "odd calls"}})
    for name in names:
        assert story.serials(story.stands(wide, "Suspended", name)) == []
        story.secret_gone_or_empty(wide, name)
    wide.patch("agenttask", TOP, {"spec": {"state": "Active", "stateReason": "looked at"}})
    for name in names:
        story.runs(wide, name)


def test_a_narrowing_reaches_every_descendant(wide: Kubectl, delegates: Kubectl) -> None:
    names = line_of(wide, delegates, depth=3)
    wide.patch("agenttask", TOP, {"spec": {"intent": {**NARROW, "grantable": None}}})
    all_end(wide, names[1:], "Revoked", "ParentEnded")
    assert story.runs(wide, TOP)["spec"]["intent"]["actions"] == ["orders:list"]


def test_children_that_come_while_their_parent_ends_end_too(wide: Kubectl, delegates: Kubectl) -> None:
    above = top_of(wide)
    before = [child(above, f"before-{number}") for number in range(6)]
    delegates.create(before)
    wide.patch("agenttask", TOP, {"spec": {"state": "Ended"}})
    delegates.create([child(above, f"after-{number}") for number in range(6)])
    all_end(wide, [f"before-{number}" for number in range(6)], "ParentEnded")
    after = all_end(wide, [f"after-{number}" for number in range(6)], "ParentEnded")
    assert [each["metadata"]["name"] for each in after if was_given(each)] == []


def test_a_child_ends_no_later_than_its_parent(wide: Kubectl, delegates: Kubectl) -> None:
    above = top_of(wide, activeDeadlineSeconds=45, credential={"ttlSeconds": 30})
    delegates.create(child(above, "child", activeDeadlineSeconds=45, credential={"ttlSeconds": 30}))
    below = story.runs(wide, "child")
    assert below["status"]["deadline"] == above["status"]["deadline"]
    assert below["status"]["credentials"][-1]["notAfter"] <= above["status"]["deadline"]
    all_end(wide, [TOP, "child"], "Expired", "ParentEnded")


# A step.


def test_a_step_is_shown_by_its_parent_while_it_lasts_and_has_no_secret(
    wide: Kubectl, delegates: Kubectl
) -> None:
    above = top_of(wide)
    short = {**STEP, "credential": {**STEP["credential"], "ttlSeconds": 30}}
    delegates.create(child(above, "step", **short))
    step = story.stands(wide, "Running", "step")
    assert story.conditions(step)["Granted"]["status"] == "True"
    assert "credentialGeneration" not in step["status"]
    shown = wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == ["step"])
    (grant,) = shown["status"]["grants"]
    assert (grant["actions"], grant["until"]) == (["refunds:create"], step["status"]["deadline"])
    assert wide.find("secret", "agentid-step") is None
    over = wide.wait_for("agenttask", "step", story.is_finished, timedelta(seconds=60), "the step is over")
    assert story.standing(over) == "Expired"
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == [])
    assert wide.find("secret", "agentid-step") is None
    assert story.serials(wide.get("agenttask", TOP)) == story.serials(above)


@pytest.mark.parametrize("how", ["ended", "suspended", "deleted", "its parent suspended"])
def test_a_grant_goes_with_its_step(wide: Kubectl, delegates: Kubectl, how: str) -> None:
    above = top_of(wide)
    delegates.create(child(above, "step", **STEP))
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == ["step"])
    if how == "deleted":
        wide.delete("agenttask", "step")
    else:
        state = "Ended" if how == "ended" else "Suspended"
        name = TOP if how == "its parent suspended" else "step"
        wide.patch("agenttask", name, {"spec": {"state": state}})
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == [])


def test_a_step_ends_with_its_parent_also_after_a_kill(
    wide: Kubectl, delegates: Kubectl, operator: OperatorProcess
) -> None:
    above = top_of(wide)
    delegates.create(child(above, "step", **STEP))
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == ["step"])
    operator.kill()
    wide.patch("agenttask", TOP, {"spec": {"state": "Ended"}})
    operator.restart()
    over = wide.wait_for("agenttask", "step", story.is_finished)
    assert story.standing(over) == "ParentEnded"
    assert grants(story.ends(wide, "Ended", TOP)) == []


def test_a_step_is_never_wider_than_its_parent(wide: Kubectl, delegates: Kubectl) -> None:
    above = top_of(wide)
    delegates.create(child(above, "step", **{**STEP, "intent": {**REFUND, "actions": ["orders:list"]}}))
    assert "neither has nor may grant" in message(story.stands(wide, "DelegationRefused", "step"))
    assert grants(wide.get("agenttask", TOP)) == []


def test_the_record_has_a_line_for_each_of_it(
    wide: Kubectl, delegates: Kubectl, operator: OperatorProcess
) -> None:
    above = top_of(wide)
    delegates.create(child(above, "step", **STEP))
    story.stands(wide, "Running", "step")
    wide.patch("agenttask", TOP, {"spec": {"state": "Ended"}})
    all_end_of_step = wide.wait_for("agenttask", "step", story.is_finished)
    story.ends(wide, "Ended", TOP)
    lines = [
        each
        for each in operator.log_lines()
        if each.get("event") == "record" and each.get("namespace") == wide.namespace
    ]
    kinds = [(each["task"], each["kind"]) for each in lines if each["task"] in {TOP, "step"}]
    # Both end by the same change, whichever is looked at first.
    assert kinds[:2] == [(TOP, "issued"), ("step", "granted")], json.dumps(lines)
    assert sorted(kinds[2:]) == [("step", "ended"), (TOP, "ended")], json.dumps(lines)
    step = next(each for each in lines if each["kind"] == "granted")
    assert step["chain"] == [above["metadata"]["uid"]]
    assert step["requester"] == STRANGER
    assert story.standing(all_end_of_step) == "ParentEnded"
