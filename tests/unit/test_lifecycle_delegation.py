"""Whether a child is within its parent: all in which it could be wider, and ways up that lead nowhere."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from agentid.api.agenttask_status import BoundPod
from agentid.api.reasons import WaitReason
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import (
    delegation,
    delegator,
    end_above,
    inherited_deadline,
    lacking_above,
    suspended_above,
)
from agentid.lifecycle.model import TaskFacts
from tests.unit.lifecycle_facts import NOW, uid
from tests.unit.lifecycle_family import (
    INTENT,
    STEP,
    asked_by,
    changed,
    child,
    condition,
    lineage,
    parent,
    reference,
    with_spec,
    with_status,
)

PARENT = "its parent AgentTask support/task-1"


def breach(task: TaskFacts, *others: TaskFacts) -> str | None:
    return delegation_breach(task, lineage(task, *others), NOW)


TEMPLATE = {"name": "nightly", "uid": uid(77), "author": {"username": "dora@example.com"}}


def family(depth: int) -> list[TaskFacts]:
    """The task without a parent, then its child, its child's child and so on."""
    tasks = [parent()]
    for number in range(2, depth + 2):
        tasks.append(child(tasks[-1], number, intent=INTENT))
    return tasks


def test_a_child_within_its_parent_is_good():
    above = parent()
    assert breach(child(above), above) is None
    assert breach(child(above, **STEP), above) is None


def test_a_child_may_have_the_static_secrets_of_its_parent():
    above = parent(staticSecrets=[{"name": "crm"}, {"name": "payments"}])
    assert breach(child(above, staticSecrets=[{"name": "payments"}]), above) is None


def test_a_task_without_a_parent_is_within_nothing():
    assert breach(parent()) is None


@pytest.mark.parametrize(
    ("wider", "said"),
    [
        (
            {"intent": INTENT | {"actions": ["refunds:approve"]}},
            (
                f"intent.actions asks for refunds:approve, which {PARENT} neither has nor may grant "
                "(it has and may grant orders:read, mail:send, refunds:create). Ask for less."
            ),
        ),
        (
            {"intent": INTENT | {"grantable": ["orders:delete"]}},
            f"intent.grantable asks for orders:delete, which {PARENT} neither has nor may grant",
        ),
        (
            {"intent": INTENT | {"resources": ["order/4711", "order/1"]}},
            f"intent.resources asks for order/1, but {PARENT} is limited to order/4711, order/4712. Ask for",
        ),
        (
            {"intent": INTENT | {"resources": []}},
            f"intent.resources is empty, but {PARENT} is limited to order/4711, order/4712. Name some",
        ),
        (
            {"intent": INTENT | {"sensitivity": "Restricted"}},
            f"intent.sensitivity is Restricted, but that of {PARENT} is Confidential. Ask for less.",
        ),
        (
            {"activeDeadlineSeconds": 3601},
            f"it may live for 3601 s, but {PARENT} for 3600 s at most. Ask for a shorter activeDeadline",
        ),
        (
            {"credential": {"ttlSeconds": 301}},
            f"credential.ttlSeconds is 301, but {PARENT} has 300. Ask for less.",
        ),
        (
            {"staticSecrets": [{"name": "payments"}]},
            f"staticSecrets asks for payments, which {PARENT} has not. Leave it out.",
        ),
        ({"workload": None}, f"it is bound to no pod, but {PARENT} is. Say in workload where it runs."),
        (
            {"onBehalfOf": "dave@example.com"},
            f"onBehalfOf is dave@example.com, but {PARENT} is done for carol@example.com, and a child",
        ),
        (
            STEP | {"agentRef": {"name": "other"}},
            (
                "agentRef is other, but a step is a grant to the identity of "
                f"{PARENT}, whose Agent is refund-agent. Name that one."
            ),
        ),
    ],
)
def test_what_is_wider_is_named_with_what_is_allowed(wider: dict[str, object], said: str):
    above = parent()
    told = breach(child(above, **wider), above)
    assert told is not None
    assert told.startswith(f"AgentTask support/task-2: {said}")


def test_a_parent_that_is_not_renewed_lives_as_long_as_its_credential():
    above = parent(credential={"renew": False, "ttlSeconds": 300})
    assert "it may live for 3600 s, but its parent AgentTask support/task-1 for 300 s" in str(
        breach(child(above), above)
    )
    assert breach(child(above, activeDeadlineSeconds=300), above) is None
    assert breach(child(above, credential={"renew": False, "ttlSeconds": 300}), above) is None


def test_a_parent_that_says_nothing_of_resources_limits_none():
    above = parent(intent={"purpose": "Triage", "actions": ["orders:read"], "grantable": ["refunds:create"]})
    assert breach(child(above), above) is None
    assert breach(child(above, intent=INTENT | {"resources": []}), above) is None


def test_a_child_of_nobodys_task_is_for_nobody():
    above = parent(onBehalfOf=None)
    told = breach(child(above, onBehalfOf="dave@example.com"), above)
    assert "is done on behalf of nobody, and a child inherits that. Leave onBehalfOf out." in str(told)


def test_the_delegator_comes_from_the_uppermost_task():
    top, middle, bottom = family(2)
    assert delegator(bottom, lineage(bottom, middle, top)) == "carol@example.com"
    assert breach(with_spec(bottom, onBehalfOf="carol@example.com"), middle, top) is None


# Who asked.


@pytest.mark.parametrize(
    "requester",
    [asked_by(101), asked_by(None, may=True), asked_by(7, may=True)],
    ids=["its pod", "the verb", "a pod with the verb"],
)
def test_the_parents_pod_and_who_has_the_verb_may_name_it(requester: dict[str, object]):
    above = parent()
    assert breach(child(above, requester=requester), above) is None


@pytest.mark.parametrize("requester", [asked_by(7), asked_by(None), asked_by(None) | {"mayDelegate": None}])
def test_nobody_else_may(requester: dict[str, object]):
    above = parent()
    assert breach(child(above, requester=requester), above) == (
        "AgentTask support/task-2: system:serviceaccount:support:refund-agent asked for it, and is neither "
        'the pod bound to its parent AgentTask support/task-1 nor had the verb "delegate" on it. Have that '
        "pod create it, or somebody who has the verb (ClusterRole agentid-delegate-task)."
    )


def test_the_operators_own_pod_and_rights_name_no_parent_for_a_templates_author():
    above = parent()
    assert breach(child(above, requester=asked_by(101, may=True), templateRef=TEMPLATE), above) == (
        f"AgentTask support/task-2: dora@example.com asked for it, and is neither the pod bound to {PARENT} "
        'nor had the verb "delegate" on it. Have that pod create it, or somebody who has the verb '
        "(ClusterRole agentid-delegate-task)."
    )


def test_the_chain_names_the_author_of_a_template_above():
    above = parent(templateRef=TEMPLATE)
    found = delegation(child(above), lineage(child(above), above))
    assert found is not None
    assert [each.requester for each in found.chain] == ["dora@example.com"]


def test_a_parent_without_a_pod_is_named_with_the_verb_only():
    above = with_status(parent(), bound_pod=None)
    assert breach(child(above), above) is not None
    assert breach(child(above, requester=asked_by(None, may=True)), above) is None


def test_a_child_whose_requester_is_unknown_is_not_believed():
    above = parent()
    assert "nobody who is known asked for it" in str(breach(child(above, requester=None), above))


def test_what_was_found_of_the_requester_stays_found_for_that_intent():
    above = parent()
    asked = child(above)
    found = with_status(asked, delegation=delegation(asked, lineage(asked, above)))
    moved_on = with_status(above, bound_pod=BoundPod(name="next", uid=uid(333), fingerprint="f"))
    assert breach(asked, moved_on) is not None
    assert breach(found, moved_on) is None
    by_somebody_else = with_spec(found, requester=asked_by(7, generation=2))
    assert "is neither the pod" in str(breach(by_somebody_else, above))


def test_what_was_found_is_of_that_parent_only():
    above = parent()
    asked = child(above)
    found = delegation(asked, lineage(asked, above))
    assert found is not None
    elsewhere = found.model_copy(update={"chain": [found.chain[0].model_copy(update={"uid": uid(444)})]})
    assert breach(with_status(asked, delegation=elsewhere), above) is not None


# The way up.


def test_a_parent_that_is_not_there():
    assert "AgentTask support/task-1, which it is a child of, does not exist" in str(breach(child(parent())))


def test_a_parent_with_another_uid_is_another_task():
    above = parent()
    told = breach(child(above), changed(above, uid=uid(555)))
    assert f"has another UID ({uid(555)}) than parentRef names ({uid(1)}): it is another task" in str(told)


@pytest.mark.parametrize("by", [{"name": "task-2", "uid": uid(9)}, {"name": "task-9", "uid": uid(2)}])
def test_a_task_that_names_itself(by: dict[str, str]):
    itself = child(parent(), parentRef=by)
    assert "parentRef of it names the task itself" in str(breach(itself, itself))


def test_parents_that_lead_in_a_circle():
    one = parent()
    two = child(one, 2)
    three = child(two, 3)
    circle = [with_spec(one, parentRef=reference(three), requester=asked_by(103)), two, three]
    outside = child(two, 4)
    for task, met in [*((each, each) for each in circle), (outside, two)]:
        assert f"its parents lead in a circle, by AgentTask support/{met.name}" in str(breach(task, *circle))


def test_five_tasks_may_be_above_one_and_six_may_not():
    *above, task = family(5)
    assert len(above) == 5
    assert breach(task, *above) is None
    *above, task = family(6)
    assert "more than 5 tasks are above it, AgentTask support/task-1 among them" in str(breach(task, *above))


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (
            lambda each: with_status(each, conditions=[condition("Completed", "True")]),
            "has ended (Completed)",
        ),
        (lambda each: changed(each, deleting=True), "is being deleted"),
        (lambda each: with_spec(each, state="Ended"), "is ended"),
        (lambda each: with_status(each, deadline=NOW), "is past its deadline"),
    ],
)
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_end_of_any_task_above_reaches_it(over: Callable[[TaskFacts], TaskFacts], said: str, depth: int):
    top, *between, task = family(depth)
    told = breach(task, over(top), *between)
    assert told is not None
    assert f"its parent AgentTask support/task-1 {said}. Create a task of its own" in told
    assert ("which it is under" in told) == (depth > 1)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_narrowing_any_task_above_reaches_it(depth: int):
    top, *between, task = family(depth)
    narrower = with_spec(top, intent={"purpose": "Triage", "actions": ["orders:read"]})
    assert "asks for refunds:create, which its parent AgentTask support/task-1 neither has" in str(
        breach(task, narrower, *between)
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_suspension_above_is_told(depth: int):
    top, *between, task = family(depth)
    assert suspended_above(lineage(task, top, *between)) is None
    suspended = with_spec(top, state="Suspended")
    assert suspended_above(lineage(task, suspended, *between)) == (
        "AgentTask support/task-1, which it is under, is suspended"
    )
    assert breach(task, suspended, *between) is None


PAUSES = (
    WaitReason.AWAITING_POD,
    WaitReason.POD_MISMATCH,
    WaitReason.AWAITING_STATIC_SECRET,
    WaitReason.ISSUANCE_BLOCKED,
    WaitReason.SECRET_NAME_TAKEN,
)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_who_has_not_begun_or_waits_without_being_allowed_gives_nothing(depth: int):
    top, *between, task = family(depth)
    assert lacking_above(lineage(task, top, *between), is_live=False) is None
    which = "AgentTask support/task-1, which it is under,"
    waits = [
        (with_status(top, start_time=None), "has not begun"),
        (with_status(top, conditions=[]), "waits itself"),
        *(
            (with_status(top, conditions=[condition(reason)]), f"waits itself ({reason})")
            for reason in WaitReason
            if reason not in PAUSES
        ),
    ]
    for above, why in waits:
        for is_live in (False, True):
            assert lacking_above(lineage(task, above, *between), is_live=is_live) == f"{which} {why}"


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("pause", PAUSES)
def test_who_is_allowed_and_waits_for_its_pod_or_secret_gives_nothing_new_and_takes_nothing(
    depth: int, pause: WaitReason
):
    top, *between, task = family(depth)
    above = lineage(task, with_status(top, conditions=[condition(pause)]), *between)
    assert lacking_above(above, is_live=True) is None
    assert lacking_above(above, is_live=False) == (
        f"AgentTask support/task-1, which it is under, waits itself ({pause})"
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_one_above_that_nobody_is_known_to_have_asked_for_gives_nothing(depth: int):
    top, *between, task = family(depth)
    above = lineage(task, with_spec(top, requester=None), *between)
    for is_live in (False, True):
        assert lacking_above(above, is_live=is_live) == (
            "nobody is known to have asked for AgentTask support/task-1, which it is under"
        )
    assert delegation(task, above) is None


def test_a_new_intent_above_that_is_not_decided_on_gives_nothing_new():
    top, task = family(1)
    changed_intent = with_spec(top, intent={"purpose": "Else", "actions": ["refunds:create"]})
    above = lineage(task, changed_intent)
    assert lacking_above(above, is_live=True) is None
    assert lacking_above(above, is_live=False) == (
        "the intent of AgentTask support/task-1, which it is under, was changed and is not decided on yet"
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_an_end_above_is_told(depth: int):
    top, *between, task = family(depth)
    assert end_above(lineage(task, top, *between), NOW) is None
    which = "AgentTask support/task-1, which it is under,"
    for over, why in (
        (with_spec(top, state="Ended"), "is ended"),
        (changed(top, deleting=True), "is being deleted"),
        (with_status(top, conditions=[condition("Expired", "True")]), "has ended (Expired)"),
        (with_status(top, deadline=NOW), "is past its deadline"),
    ):
        assert end_above(lineage(task, over, *between), NOW) == f"{which} {why}"


def test_a_step_and_an_emergency_have_no_children():
    top = parent()
    step = child(top, 2, **STEP)
    told = breach(child(step, 3, requester=asked_by(None, may=True)), step, top)
    assert "its parent AgentTask support/task-2 is a step, which has no identity to give from" in str(told)
    emergency = parent(
        breakGlass={"justification": "The payment provider is down"},
        intent=INTENT,
        credential={"renew": False},
    )
    assert "is an emergency, which has no children" in str(breach(child(emergency), emergency))


def test_an_ancestor_that_cannot_be_read_gives_nothing():
    top, middle, bottom = family(2)
    unreadable = changed(top, spec=None)
    assert "AgentTask support/task-1 cannot be read by this version" in str(
        breach(bottom, middle, unreadable)
    )


# What comes down.


def test_the_earliest_end_above_is_inherited():
    top, middle, bottom = family(2)
    sooner = with_status(top, deadline=NOW + timedelta(seconds=10))
    assert inherited_deadline(lineage(bottom, middle, sooner)) == NOW + timedelta(seconds=10)
    assert inherited_deadline(lineage(top)) is None


def test_the_status_keeps_the_chain_and_the_intent_it_was_found_for():
    top, middle, bottom = family(2)
    found = delegation(bottom, lineage(bottom, middle, top))
    assert found is not None
    assert (found.intent_generation, found.delegator) == (1, "carol@example.com")
    assert [(each.name, each.uid) for each in found.chain] == [
        ("task-2", middle.uid),
        ("task-1", top.uid),
    ]
    assert [each.requester for each in found.chain][-1] == "orchestrator"
    assert delegation(top, lineage(top)) is None
