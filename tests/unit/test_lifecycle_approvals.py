"""Which approvals count: of this task, this spec and this intent, from somebody else, until they expire."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.api.agentapproval import AgentApprovalSpec
from agentid.api.fields import format_time
from agentid.api.spec_hash import hash_of, projection_text
from agentid.lifecycle.approvals import (
    ApprovalFacts,
    Request,
    consent,
    consent_to,
    request_of,
    what_is_awaited,
    who_may_approve,
)
from agentid.lifecycle.consent import Approver, Consent
from agentid.lifecycle.model import Lineage, TaskFacts
from tests.unit.lifecycle_facts import NOW, uid
from tests.unit.lifecycle_family import asked_by, changed, child, lineage, parent, reference, with_spec

TASK = parent()
ERIN, FRANK = "erin@example.com", "frank@example.com"
HOUR = timedelta(hours=1)
ORCHESTRATOR, CAROL = "orchestrator", "carol@example.com"


def given_by(who: str | None, of: TaskFacts = TASK, number: int = 1, **over: object) -> ApprovalFacts:
    """A yes of somebody to a task as it is, with `over` in its spec."""
    assert of.spec is not None
    assert of.spec.requester is not None
    text = projection_text(of.spec)
    spec: dict[str, object] = {
        "taskRef": reference(of),
        "specHash": hash_of(text),
        "intentGeneration": of.spec.requester.intent_generation,
        "projection": text,
        "decision": "Approve",
        "expiresAt": format_time(NOW + HOUR),
        "approver": {"username": who, "groups": ["leads"]} if who else None,
        **over,
    }
    said = AgentApprovalSpec.model_validate(spec)
    return ApprovalFacts.of(f"approval-{number}", said.task_ref.name, said, deleting=False)


def no_by(who: str, of: TaskFacts = TASK, number: int = 9, **over: object) -> ApprovalFacts:
    return given_by(who, of, number, **{"decision": "Deny", "expiresAt": None, **over})


def request(of: TaskFacts = TASK, *above: TaskFacts) -> Request:
    found = request_of(of, lineage(of, *above))
    assert found is not None
    return found


def people(found: Consent) -> list[str]:
    return [each.username for each in found.approvers]


def edited(task: TaskFacts, purpose: str) -> TaskFacts:
    """The task after its intent was changed by its requester, as admission stamps it."""
    assert task.spec is not None
    assert task.spec.requester is not None
    requester = task.spec.requester.model_dump(mode="json", by_alias=True)
    intent = task.spec.intent.model_dump(mode="json", by_alias=True)
    generation = task.generation + 1
    after = with_spec(
        task,
        intent=intent | {"purpose": purpose},
        requester=requester | {"intentGeneration": generation},
    )
    return replace(after, generation=generation)


def test_a_yes_of_somebody_else_counts_until_it_expires():
    found = consent(request(), [given_by(ERIN)], NOW)
    assert found == Consent(approvers=(Approver(ERIN, ("leads",)),), until=NOW + HOUR)
    assert people(consent(request(), [given_by(ERIN)], NOW + HOUR - timedelta(seconds=1))) == [ERIN]
    late = consent(request(), [given_by(ERIN)], NOW + HOUR)
    assert late.passed_over == (("approval-1", "it has expired at 2026-05-31T15:00:00Z"),)
    assert (late.approvers, late.until) == ((), None)


def test_nobody_has_said_anything():
    assert consent(request(), [], NOW) == Consent()


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (given_by(ORCHESTRATOR), "orchestrator asked for it"),
        (given_by(CAROL), "carol@example.com is who it is done for"),
        (given_by(None), "nobody is known to have given it"),
        (
            given_by(ERIN, taskRef={"name": TASK.name, "uid": uid(77)}),
            f"it is about another task of that name, with UID {uid(77)}",
        ),
        (given_by(ERIN, intentGeneration=2), "it is about an intent that the task has not now"),
        (given_by(ERIN, specHash=f"v1:{'0' * 64}"), "it is about a spec that the task has not now"),
        (given_by(ERIN, projection="{}"), "its projection is not what its specHash is of"),
        (replace(given_by(ERIN), deleting=True), "it is being deleted"),
    ],
)
def test_what_does_not_count_and_why(approval: ApprovalFacts, why: str):
    found = consent(request(), [approval], NOW)
    assert (found.approvers, found.denied, found.until) == ((), None, None)
    assert found.passed_over == (("approval-1", why),)


def test_of_other_tasks_nothing_is_said():
    other = changed(TASK, name="task-5", uid=uid(5))
    unreadable = ApprovalFacts.of("newer", "task-5", None, deleting=False)
    assert consent(request(), [given_by(ERIN, other), unreadable], NOW) == Consent()


def test_what_cannot_be_read_may_be_a_no():
    unreadable = ApprovalFacts.of("newer", TASK.name, None, deleting=False)
    found = consent(request(), [given_by(ERIN), unreadable], NOW)
    assert found == Consent(denied="AgentApproval newer cannot be read by this version of agentid")


def test_text_of_an_approval_is_compared_and_not_kept():
    facts = given_by(ERIN)
    assert facts.spec is not None
    assert (facts.is_whole, facts.spec.projection) == (True, "")
    assert not given_by(ERIN, projection="{} ").is_whole


def test_nobody_is_asked_in_an_emergency():
    assert TASK.spec is not None
    credential = TASK.spec.credential.model_dump(mode="json", by_alias=True) | {"renew": False}
    emergency = with_spec(
        TASK,
        breakGlass={"justification": "The payment provider is down."},
        credential=credential,
        intent={"purpose": "Mend", "actions": ["orders:read"]},
    )
    said = [given_by(ERIN, emergency), no_by(FRANK, emergency)]
    assert consent_to(emergency, Lineage(), said, NOW) == Consent()
    assert consent_to(TASK, Lineage(), [given_by(ERIN)], NOW).approvers == (Approver(ERIN, ("leads",)),)
    assert consent_to(replace(TASK, spec=None), Lineage(), [given_by(ERIN)], NOW) == Consent()


def test_the_right_to_approve_another_task_is_none_to_approve_this_one():
    by_uid_only = {"name": "task-5", "uid": TASK.uid}
    approvals = [given_by(ERIN, taskRef=by_uid_only), no_by(FRANK, taskRef=by_uid_only)]
    assert consent(request(), approvals, NOW) == Consent()


def test_names_are_compared_as_they_are_written():
    assert people(consent(request(), [given_by("Carol@example.com")], NOW)) == ["Carol@example.com"]


@pytest.mark.parametrize("depth", [1, 3])
def test_nobody_approves_a_task_below_one_that_they_asked_for(depth: int):
    tasks = [parent()]
    for number in range(2, depth + 2):
        tasks.append(
            child(tasks[-1], number, requester=asked_by(number + 99) | {"username": f"agent-{number}"})
        )
    *above, task = tasks
    found = consent(
        request(task, *above),
        [
            *(given_by(f"agent-{number}", task, number) for number in range(2, depth + 2)),
            given_by(ORCHESTRATOR, task, 50),
            given_by(CAROL, task, 51),
            given_by(ERIN, task, 52),
        ],
        NOW,
    )
    assert people(found) == [ERIN]
    why = dict(found.passed_over)
    assert why["approval-50"] == "orchestrator asked for AgentTask support/task-1, which it is under"
    assert why["approval-51"] == "carol@example.com is who it is done for"
    assert why[f"approval-{depth + 1}"] == f"agent-{depth + 1} asked for it"


def test_two_people_are_two_and_one_who_says_it_twice_is_one():
    twice = [given_by(ERIN), given_by(ERIN, number=2, expiresAt=format_time(NOW + HOUR / 2))]
    found = consent(request(), [*twice, given_by(FRANK, number=3)], NOW)
    assert people(found) == [ERIN, FRANK]
    assert found.until == NOW + HOUR / 2
    assert people(consent(request(), twice, NOW)) == [ERIN]


@pytest.mark.parametrize("who", [ERIN, FRANK, ORCHESTRATOR, CAROL])
def test_a_no_of_anybody_ends_every_yes_until_it_is_gone(who: str):
    yes = [given_by(ERIN), given_by(FRANK, number=2)]
    found = consent(request(), [*yes, no_by(who, comment="Not today")], NOW)
    assert (found.approvers, found.until) == ((), None)
    assert found.denied == f"denied by {who}: Not today"
    assert people(consent(request(), yes, NOW)) == [ERIN, FRANK]


def test_a_no_counts_while_it_is_being_deleted_and_whatever_it_was_shown():
    leaving = replace(no_by(ERIN), deleting=True)
    assert consent(request(), [given_by(FRANK), leaving], NOW).denied == f"denied by {ERIN}"
    other_text = no_by(ERIN, projection="{}", specHash=f"v1:{'0' * 64}")
    assert consent(request(), [given_by(FRANK), other_text], NOW).denied is not None


def test_a_no_to_another_task_or_an_earlier_intent_is_none():
    for elsewhere in (
        no_by(ERIN, taskRef={"name": TASK.name, "uid": uid(77)}),
        no_by(ERIN, intentGeneration=7),
    ):
        assert people(consent(request(), [given_by(FRANK), elsewhere], NOW)) == [FRANK]


def test_without_a_known_requester_there_is_nothing_to_approve():
    assert request_of(with_spec(TASK, requester=None), Lineage()) is None
    assert request_of(replace(TASK, spec=None), Lineage()) is None


def test_who_may_approve_is_told():
    assert who_may_approve(request()) == (
        'who has the verb "approve" on agenttasks/task-1 in support (ClusterRole agentid-approver), except '
        "carol@example.com, orchestrator"
    )


def test_what_is_awaited_is_told_with_who_has_approved_and_what_does_not_count():
    asked = request()
    found = consent(asked, [given_by(ERIN), given_by(CAROL, number=2)], NOW)
    assert what_is_awaited(asked, found) == (
        f"Approved so far by {ERIN}. It is approved as it is now (intent 1, {asked.spec_hash}) by "
        f"{who_may_approve(asked)}. AgentApproval approval-2 does not count: {CAROL} is who it is done for."
    )
    assert what_is_awaited(asked, Consent()) == (
        f"It is approved as it is now (intent 1, {asked.spec_hash}) by {who_may_approve(asked)}."
    )


def test_a_suspension_leaves_an_approval_as_it_was():
    suspended = with_spec(TASK, state="Suspended", stateReason="Odd")
    assert people(consent(request(suspended), [given_by(ERIN)], NOW)) == [ERIN]


def test_an_approval_is_of_no_clone():
    clone = changed(TASK, uid=uid(88))
    assert consent(request(clone), [given_by(ERIN), no_by(FRANK)], NOW).approvers == ()
    assert consent(request(clone), [no_by(FRANK)], NOW).denied is None


# Whatever is done in whatever order.

USERS = [ERIN, FRANK, "grace@example.com", ORCHESTRATOR, CAROL]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("approve"), st.sampled_from(USERS)),
        st.tuples(st.just("deny"), st.sampled_from(USERS)),
        st.tuples(st.just("edit"), st.sampled_from(["Triage", "Something else"])),
        st.tuples(st.just("withdraw"), st.sampled_from(USERS)),
        st.tuples(st.just("clone"), st.just("")),
        st.tuples(st.just("suspend"), st.sampled_from(["Active", "Suspended"])),
    ),
    max_size=12,
)


def withdrawn(approvals: list[ApprovalFacts], who: str) -> list[ApprovalFacts]:
    return [
        each
        for each in approvals
        if each.spec is None or each.spec.approver is None or each.spec.approver.username != who
    ]


@settings(max_examples=200)
@given(steps)
def test_only_what_others_said_since_the_last_edit_of_this_very_task_counts(steps: list[tuple[str, str]]):
    task, approvals = TASK, list[ApprovalFacts]()
    yes, no = set[str](), set[str]()
    for number, (what, value) in enumerate(steps):
        match what:
            case "approve":
                approvals.append(given_by(value, task, number))
                yes.add(value)
            case "deny":
                approvals.append(no_by(value, task, number))
                no.add(value)
            case "withdraw":
                approvals = withdrawn(approvals, value)
                yes.discard(value)
                no.discard(value)
            case "suspend":
                task = with_spec(task, state=value)
            case "edit":
                task = edited(task, value)
                yes, no = set(), set()
            case _:
                task = changed(task, uid=uid(1000 + number))
                yes, no = set(), set()
    found = consent(request(task), approvals, NOW)
    assert (found.denied is not None) == bool(no)
    assert set(people(found)) == (set() if no else yes - {ORCHESTRATOR, CAROL})
    assert len(people(found)) == len(set(people(found)))


@settings(max_examples=100)
@given(st.lists(st.sampled_from(USERS), max_size=6), st.integers(0, 7200), st.randoms())
def test_what_counts_depends_on_neither_order_nor_repetition(who: list[str], seconds: int, shuffled: Random):
    now = NOW + timedelta(seconds=seconds)
    approvals = [given_by(each, number=number) for number, each in enumerate(who)]
    found = consent(request(), approvals, now)
    shuffled.shuffle(approvals)
    assert consent(request(), approvals, now) == found
    expected = sorted(set(who) - {ORCHESTRATOR, CAROL}) if now < NOW + HOUR else []
    assert people(found) == expected
    assert len(found.passed_over) + len([each for each in who if each in expected]) == len(who)


DORA = "dora@example.com"
TEMPLATE = {"name": "nightly", "uid": uid(77), "author": {"username": DORA}}


@pytest.mark.parametrize("generation", [1, 2], ids=["as-made", "changed-since"])
def test_neither_who_wrote_a_template_nor_who_asked_since_approves_its_task(generation: int):
    requester = {"username": ORCHESTRATOR, "intentGeneration": generation}
    task = parent(templateRef=TEMPLATE, requester=requester)
    said = [given_by(who, task, number) for number, who in enumerate([DORA, ORCHESTRATOR, ERIN])]
    found = consent_to(task, Lineage(), said, NOW)
    assert people(found) == [ERIN]
    assert dict(found.passed_over)["approval-0"] == "dora@example.com wrote the template of it"


def test_who_wrote_the_template_of_a_task_approves_nothing_below_it():
    above = parent(templateRef=TEMPLATE)
    task = child(above)
    found = consent_to(task, lineage(task, above), [given_by(DORA, task)], NOW)
    assert people(found) == []
    assert "wrote the template of AgentTask support/task-1, which it is under" in found.passed_over[0][1]


def test_what_is_approved_names_the_static_secrets():
    task = parent(staticSecrets=[{"name": "crm"}])
    without = given_by(ERIN, task, specHash=request().spec_hash, projection=projection_text(TASK.spec))
    assert task.spec is not None
    assert '"staticSecrets":[{"name":"crm"}]' in projection_text(task.spec)
    assert people(consent_to(task, Lineage(), [without], NOW)) == []
    assert people(consent_to(task, Lineage(), [given_by(ERIN, task)], NOW)) == [ERIN]
