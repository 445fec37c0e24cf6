"""What a yes or no is of, for how long, why it would be for nothing, and when it was acted on."""

import inspect
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from agentid.api.agentapproval import AgentApprovalSpec, Decision
from agentid.api.reasons import WaitReason
from agentid.cli.deciding import approval_of
from agentid.cli.heeding import BEFORE_A_NO, came_of, facts_of
from agentid.cli.orders import Result
from agentid.cli.pending import Pending, judge
from agentid.cli.saying import LONGEST, Saying, against, expiry, until
from agentid.lifecycle.approvals import consent, request_of
from agentid.lifecycle.authority_holds import BESIDES, hold_while_approval_is_denied
from agentid.lifecycle.decide import RULES
from agentid.lifecycle.lineage import Lineage
from agentid.lifecycle.verdict import Hold
from agentid.policy.decision import ApprovalNeed
from agentid.policy.wording import approval_needed, need_told
from tests.unit.cli_tasks import NEED, NOW, approval, denial, pending, task

ERIN, FRANK, ALICE, CAROL = (f"{each}@example.com" for each in ("erin", "frank", "alice", "carol"))
YES, NO = Saying(Decision.APPROVE, None), Saying(Decision.DENY, "fraud")


def longer(**time: float) -> Saying:
    return Saying(Decision.APPROVE, None, timedelta(**time))


TASK = task()
CHANGED = task(requester={"username": ALICE, "intentGeneration": 2})


@pytest.mark.parametrize(
    ("saying", "of", "me", "result", "part"),
    [
        (YES, pending(TASK), ERIN, None, ""),
        (NO, pending(TASK), ERIN, None, ""),
        (NO, pending(TASK), ALICE, None, ""),
        (YES, pending(TASK), ALICE, Result.REFUSED, f"is not yours to approve: {ALICE} asked for it."),
        (
            YES,
            pending(task(onBehalfOf=CAROL)),
            CAROL,
            Result.REFUSED,
            f"{CAROL} is who it is done for. It is for who has the verb",
        ),
        (
            YES,
            pending(task(standing="Running")),
            ERIN,
            Result.REFUSED,
            "does not wait for an approval: it is Run",
        ),
        (NO, pending(task(standing="Running")), ERIN, None, ""),
        (YES, pending(task(standing="")), ERIN, Result.REFUSED, "has not been looked at by an operator yet"),
        (YES, pending(task(standing="Expired")), ERIN, Result.REFUSED, "has ended (Expired), which is final"),
        (NO, pending(task(standing="Expired")), ERIN, Result.REFUSED, "there is nothing to decide any more"),
        (YES, pending(task(state="Ended")), ERIN, Result.REFUSED, "has ended (state Ended)"),
        (YES, pending(task(requester=None)), ERIN, Result.REFUSED, "names nobody who asked for it"),
        (YES, pending(task(agentRef=7)), ERIN, Result.REFUSED, "cannot be read by this version of agentid"),
        (
            NO,
            pending(
                task(
                    breakGlass={"justification": "The payment provider is down."},
                    credential={"renew": False},
                )
            ),
            ERIN,
            Result.REFUSED,
            "is an emergency, for which nobody's word is asked",
        ),
        (
            Saying(Decision.APPROVE, None, spec_hash=f"v1:{'0' * 64}"),
            pending(TASK),
            ERIN,
            Result.REFUSED,
            "000 is of any more: it asks for v1:",
        ),
        (
            YES,
            pending(TASK, approval(TASK, "hers", ERIN)),
            ERIN,
            Result.UNCHANGED,
            "you have approved AgentTask",
        ),
        (YES, pending(TASK, approval(TASK, "hers", ERIN)), FRANK, None, ""),
        (
            longer(hours=1),
            pending(TASK, approval(TASK, "hers", ERIN)),
            ERIN,
            Result.UNCHANGED,
            "until 2026-11-23T12",
        ),
        (longer(hours=3), pending(TASK, approval(TASK, "hers", ERIN)), ERIN, None, ""),
        (YES, pending(CHANGED, approval(TASK, "hers", ERIN)), ERIN, None, ""),
        (YES, pending(TASK, approval(TASK, "hers", ERIN), now=NOW + timedelta(hours=2)), ERIN, None, ""),
        (
            YES,
            pending(TASK, denial(TASK, "no", FRANK)),
            ERIN,
            Result.REFUSED,
            f"is denied by {FRANK}. A no wins",
        ),
        (
            YES,
            pending(TASK, approval(TASK, "hers", ERIN), denial(TASK, "no", FRANK)),
            ERIN,
            Result.REFUSED,
            f"is denied by {FRANK}",
        ),
        (YES, pending(CHANGED, denial(TASK, "no", FRANK)), ERIN, None, ""),
        (NO, pending(TASK, denial(TASK, "no", FRANK)), ERIN, None, ""),
        (NO, pending(TASK, denial(TASK, "no", ERIN)), ERIN, Result.UNCHANGED, "you have denied AgentTask"),
        # One that runs by another's yes may be approved beyond that.
        (YES, pending(task(standing="Running"), approval(TASK, "his", FRANK)), ERIN, None, ""),
    ],
)
def test_what_would_be_for_nothing_is_said_beforehand(
    saying: Saying,
    of: Pending,
    me: str,
    result: Result | None,
    part: str,
) -> None:
    found = against(saying, of, me)
    assert (found and found.result) == result
    assert part in (found.message if found is not None else "")


def test_who_sees_no_approvals_may_say_yes_to_what_waits() -> None:
    assert against(YES, judge(TASK, {}, None, NOW), ERIN) is None
    refused = against(YES, judge(task(standing="Running"), {}, None, NOW), ERIN)
    assert refused is not None
    assert refused.result is Result.REFUSED


@pytest.mark.parametrize(
    ("saying", "of", "expected"),
    [
        (longer(minutes=5), TASK, NOW + timedelta(minutes=5)),
        (Saying(Decision.APPROVE, None, NOW + timedelta(days=3)), TASK, NOW + timedelta(days=3)),
        # Created at 09:01, it may wait for ten minutes and then run for an hour.
        (YES, TASK, datetime(2026, 11, 23, 10, 11, tzinfo=UTC)),
        (YES, task(credential={"renew": False}), datetime(2026, 11, 23, 9, 16, tzinfo=UTC)),
        (YES, task(activeDeadlineSeconds=2_592_000), NOW + LONGEST),
        (NO, TASK, None),
    ],
)
def test_a_yes_counts_as_long_as_was_said_or_as_the_task_can_last(
    saying: Saying, of: dict[str, Any], expected: datetime | None
) -> None:
    assert until(saying, pending(of)) == expected


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("90m", timedelta(minutes=90)),
        ("8h", timedelta(hours=8)),
        ("2d12h", timedelta(days=2, hours=12)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_a_span_is_read_as_people_write_it(written: str, time: timedelta) -> None:
    assert expiry(written, None) == time


@pytest.mark.parametrize("written", ["", "0h", "8", "h", "8 h", "-8h", "8h\n", "1.5h", "99999999d", "soon"])
def test_what_is_no_span_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter):
        expiry(written, None)


@pytest.mark.parametrize("saying", [YES, NO, Saying(Decision.APPROVE, "checked", timedelta(hours=2))])
def test_what_is_written_is_what_the_operator_counts_for_this_task_and_for_no_other(saying: Saying) -> None:
    seen = pending(TASK)
    body = approval_of(saying, seen, ERIN, until(saying, seen))
    said = AgentApprovalSpec.model_validate(body["spec"])
    assert (said.comment, said.decision) == (saying.comment, saying.decision)
    assert body["metadata"]["ownerReferences"][0]["uid"] == TASK["metadata"]["uid"]
    for of, counts in ((TASK, True), (CHANGED, False), (task(number=2), False), (task("other"), False)):
        request = request_of(pending(of).task, Lineage())
        assert request is not None
        given = consent(request, [facts_of(body)], NOW)
        assert (bool(given.approvers) or given.denied is not None) is counts


def test_the_same_word_has_the_same_name_and_another_has_another() -> None:
    def name(saying: Saying, of: dict[str, Any], me: str = ERIN) -> str:
        seen = pending(of)
        return str(approval_of(saying, seen, me, until(saying, seen))["metadata"]["name"])

    others = [
        name(YES, TASK),
        name(NO, TASK),
        name(YES, TASK, FRANK),
        name(YES, CHANGED),
        name(YES, task(number=2)),
        name(longer(hours=1), TASK),
    ]
    assert name(YES, TASK) == others[0]
    assert len(set(others)) == len(others)
    for long in ("a" * 63, "a" * 49 + "." + "b" * 13, "a" * 49 + "-" + "b" * 13):
        made = name(YES, task(long))
        assert len(made) <= 63
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", made)


def stood(standing: str, message: str = "because", approved: str = "False", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    """The task later on."""
    now = task(standing=standing, **spec)
    for each in now["status"]["conditions"]:
        each["message"] = message
    said = {"type": "Approved", "status": approved, "reason": standing, "message": message}
    now["status"]["conditions"].append(said)
    return now


BY_ERIN = f"{NEED} Approved so far by {ERIN}. It is approved as it is now"
PASSED_OVER = (
    f"{NEED} AgentApproval hers does not count: it has no hash. AgentApproval his does not count: no."
)


@pytest.mark.parametrize(
    ("saying", "now", "result", "part"),
    [
        (YES, stood("AwaitingApproval", NEED), None, ""),
        (YES, stood("Running", "ends by then", "True"), Result.DONE, ""),
        (YES, stood("AwaitingPod", "no pod", "True"), Result.DONE, ""),
        (YES, stood("AwaitingPolicy"), Result.DONE, "waits (AwaitingPolicy): because"),
        (
            YES,
            stood("AwaitingApproval", BY_ERIN),
            Result.DONE,
            f"still waits: {NEED} Approved so far by {ERIN}",
        ),
        (
            YES,
            stood("AwaitingApproval", PASSED_OVER),
            Result.REFUSED,
            "AgentApproval hers does not count: it has",
        ),
        (YES, stood("ApprovalDenied", "denied by frank"), Result.REFUSED, "denied by frank"),
        (YES, stood("Revoked"), Result.REFUSED, "has ended (Revoked): because"),
        (YES, None, Result.REFUSED, "is gone"),
        (YES, task(number=2, standing="Running"), Result.REFUSED, "is gone"),
        (
            YES,
            stood("Running", requester={"username": ALICE, "intentGeneration": 2}),
            Result.REFUSED,
            "does not count: it is about an intent that the task has not now. Look again",
        ),
        (NO, stood("AwaitingApproval", NEED), None, ""),
        (NO, stood("Running", "ends by then", "True"), None, ""),
        (NO, stood("AwaitingPod", "no pod", "True"), None, ""),
        (NO, stood("ApprovalDenied", "denied by erin"), Result.DONE, "denied by erin"),
        (NO, stood("Suspended"), Result.DONE, "waits (Suspended): because"),
        (NO, stood("Revoked"), Result.DONE, "has ended (Revoked)"),
        (NO, None, Result.REFUSED, "is gone"),
    ],
)
def test_a_word_is_heeded_once_the_operator_has_acted_on_it(
    saying: Saying, now: dict[str, Any] | None, result: Result | None, part: str
) -> None:
    seen = pending(TASK)
    body = approval_of(saying, seen, ERIN, until(saying, seen))
    body["metadata"] |= {"name": "hers"}
    found = came_of(saying, seen, facts_of(body), now, NOW)
    assert (found and found.result) == result
    assert part in (found.message if found is not None else "")
    assert "his does" not in (found.message if found is not None else "")


def test_a_yes_that_ran_out_while_it_was_waited_for_is_told() -> None:
    seen = pending(TASK)
    facts = facts_of(approval_of(longer(seconds=5), seen, ERIN, NOW + timedelta(seconds=5)))
    found = came_of(YES, seen, facts, stood("AwaitingApproval", NEED), NOW + timedelta(seconds=5))
    assert found is not None
    assert "it has expired at 2026-11-23T10:00:05Z" in found.message


def test_what_a_denied_task_may_wait_for_instead_is_what_the_rules_before_that_say() -> None:
    before = RULES[: RULES.index(hold_while_approval_is_denied)]
    held = [
        each for each in before if inspect.signature(each, eval_str=True).return_annotation == Hold | None
    ]
    named = {name for each in held for name in re.findall(r"WaitReason\.([A-Z_]+)", inspect.getsource(each))}
    assert {WaitReason[name] for name in named} == BEFORE_A_NO


@pytest.mark.parametrize("approvals", [1, 2, 12])
@pytest.mark.parametrize("rules", [("AgentPolicy/a/x",), ("AgentPolicy/a/x", "ClusterAgentPolicy/b/y.z"), ()])
def test_what_wants_approvals_is_read_as_it_was_told(approvals: int, rules: tuple[str, ...]) -> None:
    told = approval_needed(ApprovalNeed(approvals, rules), ())
    names = "; ".join(f'{each.rpartition("/")[0]}, rule "{each.rpartition("/")[2]}"' for each in rules)
    assert need_told(f"{told} It is approved as it is now.") == (names or "policy", approvals)


def test_what_wants_approvals_between_two_pods_is_told_without_the_pod() -> None:
    pod = "refund waits for a pod with the label agentid.dev/task: refund"
    assert need_told(f"{pod}{BESIDES}{NEED} Ask erin{BESIDES}now.") == need_told(NEED)


@pytest.mark.parametrize(
    "message", ["", "spec.state was set to Suspended", "policy forbids it. approvals by 2 people."]
)
def test_other_messages_want_no_approval(message: str) -> None:
    assert need_told(message) is None


LIAR = '{"intent":{"purpose":"something harmless"}}'


@pytest.mark.parametrize(
    ("by", "of", "over"),
    [
        (ALICE, CHANGED, {}),
        (ERIN, task(number=2, requester={"username": ALICE, "intentGeneration": 2}), {}),
        (ERIN, CHANGED, {"projection": LIAR}),
        (ERIN, CHANGED, {"decision": "Deny", "expiresAt": None}),
    ],
    ids=["requester", "another-task", "another-text", "no"],
)
def test_what_is_compared_with_is_a_yes_of_somebody_else_to_this_task_with_its_own_text(
    by: str, of: dict[str, Any], over: dict[str, Any]
) -> None:
    first = approval(CHANGED, "first", FRANK)
    odd = approval(of, "odd", by, **over)
    odd["metadata"]["creationTimestamp"] = "2026-11-23T09:59:59Z"
    found = pending(TASK, first, odd).last_approved
    assert found is not None
    assert found.facts.name == "first"
    assert pending(TASK, odd).last_approved is None


def test_the_newest_yes_to_what_it_was_before_is_compared_with() -> None:
    old, new = approval(CHANGED, "z-old", FRANK), approval(CHANGED, "a-new", ERIN)
    new["metadata"]["creationTimestamp"] = "2026-11-23T09:59:59Z"
    found = pending(TASK, old, new, approval(TASK, "now", ERIN)).last_approved
    assert found is not None
    assert found.facts.name == "a-new"
