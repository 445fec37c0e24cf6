"""`agentid approvals`, `approve` and `deny` on a real API server, as the right and the wrong people."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agentid.api.agentapproval import Decision
from agentid.cli.approvals import look
from agentid.cli.deciding import decide
from agentid.cli.orders import Result
from agentid.cli.saying import Saying
from agentid.cli.session import session, who_am_i
from agentid.cli.where import Where
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.approving import approval, in_time
from tests.cluster.callers import agentid, agentid_process, caller, policy, user_of
from tests.cluster.objects import AGENT, task

CARE = """permit (principal, action, resource);
@id("large-refunds") forbid (principal, action, resource)
unless { context.approvals >= 1 || resource.sensitivity < 2 };
@id("two-people") forbid (principal, action, resource)
unless { context.approvals >= 2 || resource.sensitivity < 3 };
"""
REFUND = {
    "purpose": "Refund order 4711",
    "actions": ["refunds:create"],
    "resources": ["order/4711"],
    "sensitivity": "Confidential",
}
OTHER = {**REFUND, "purpose": "Refund order 4712", "resources": ["order/4712"]}
SECRET = {**REFUND, "sensitivity": "Restricted"}


def refund(name: str = "refund", **intent: object) -> Object:
    return task(name, intent={**REFUND, **intent}, onBehalfOf="carol@example.com")


def in_words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def careful(team: Kubectl) -> Iterator[Kubectl]:
    """A namespace whose tasks need approval: Confidential that of one person, Restricted those of two."""
    team.apply([{**policy("refunds", CARE)}])
    team.patch("agent", AGENT, {"spec": {"maxSensitivity": "Restricted"}})
    team.wait_for("agentpolicy", "refunds", lambda seen: "accepted" in seen.get("status", {}))
    yield team
    team.delete("agentpolicy", "refunds")


@pytest.fixture
def dana(cluster: ControlPlane, careful: Kubectl, tmp_path: Path) -> Path:
    return caller(cluster, careful, "dana", tmp_path, "agentid-approver")


@pytest.fixture
def erin(cluster: ControlPlane, careful: Kubectl, tmp_path: Path) -> Path:
    return caller(cluster, careful, "erin", tmp_path, "agentid-approver")


def waits(here: Kubectl, name: str = "refund") -> Object:
    return story.stands(here, "AwaitingApproval", name)


def test_what_waits_is_listed_with_who_asks_what_wants_it_and_how_many_have_approved(
    careful: Kubectl, dana: Path, cluster: ControlPlane
) -> None:
    careful.create([refund(), refund("restricted", sensitivity="Restricted"), task("idle")])
    for name in ("refund", "restricted"):
        waits(careful, name)
    story.runs(careful, "idle")
    assert agentid(dana, "approve", "restricted").code == 0

    listed = agentid(dana, "approvals")

    assert listed.code == 0, listed
    head, *rows = (re.split(r"\s{3,}", line.strip()) for line in listed.out.splitlines())
    assert head == [
        "NAME",
        "AGENT",
        "REQUESTER",
        "ON-BEHALF-OF",
        "ACTIONS",
        "SENSITIVITY",
        "WANTED-BY",
        "APPROVALS",
        "AGE",
    ]
    requester = careful.get("agenttask", "refund")["spec"]["requester"]["username"]
    assert [row[:8] for row in rows] == [
        [
            name,
            AGENT,
            requester,
            "carol@example.com",
            "refunds:create",
            sensitivity,
            f'AgentPolicy/refunds, rule "{rule}"',
            count,
        ]
        for name, sensitivity, rule, count in (
            ("refund", "Confidential", "large-refunds", "0/1"),
            ("restricted", "Restricted", "two-people", "1/2"),
        )
    ]
    assert agentid(dana, "approvals", "-o", "name").out.split() == [
        "agenttask.agentid.dev/refund",
        "agenttask.agentid.dev/restricted",
    ]
    wide = agentid(dana, "approvals", "-o", "wide").out.splitlines()
    assert "order/4711   Refund order 4711" in wide[1]
    assert user_of(careful, "dana") in wide[2]
    (said, _) = agentid(dana, "approvals", "-o", "json").said["tasks"]
    assert (said["wantedBy"], said["wanted"], said["approvedBy"]) == (rows[0][6], 1, [])
    assert "wanted: 2" in agentid(dana, "approvals", "-o", "yaml").out
    everywhere = agentid(cluster.kubeconfig, "approvals", "-A")
    assert careful.namespace in everywhere.out
    assert agentid(dana, "approvals", "-l", "team=blue").err.startswith("no AgentTask waits for an approval")


def test_one_is_shown_with_who_may_approve_what_exactly_and_which_approvals_count(
    careful: Kubectl, dana: Path, erin: Path
) -> None:
    waiting = careful.create(refund(**SECRET))
    waits(careful)
    requester = waiting["spec"]["requester"]["username"]
    assert agentid(dana, "approve", "refund", "--comment", "checked").code == 0
    # The requester may not, and says so all the same.
    careful.create(approval(waiting, "own"))

    shown = agentid(erin, "approvals", "refund")

    assert shown.code == 0, shown
    said = in_words(shown.out)
    # A name as long as these is wrapped.
    assert f"Approveby{user_of(careful, 'dana')}at" in "".join(said.split())
    for part in (
        "refund waits for an approval.",
        "on behalf of carol@example.com",
        'AgentPolicy/refunds, rule "two-people", allows it only when 2 people approve',
        f'who has the verb "approve" on agenttasks/refund in {careful.namespace}',
        f"except {requester}, carol@example.com",
        "checked",
        f"own: Approve by {requester}",
        f"(does not count: {requester} asked for it)",
        "intent.resources order/4711",
        "activeDeadlineSeconds 3600 (1 h)",
        "Nothing of it was approved before.",
        f"agentid approve refund -n {careful.namespace} --spec-hash v1:",
    ):
        assert part in said, shown.out
    told = agentid(erin, "approvals", "agenttask.agentid.dev/refund", "-o", "json").said
    assert sorted((each["counts"], each["approver"]) for each in told["approvals"]) == [
        (False, requester),
        (True, user_of(careful, "dana")),
    ]
    assert told["projection"].startswith('{"activeDeadlineSeconds":3600')
    assert agentid(erin, "approvals", "refund", "-o", "name").out == "agenttask.agentid.dev/refund\n"


def test_what_is_approved_is_what_was_shown_and_the_operator_has_acted_when_the_command_returns(
    careful: Kubectl, dana: Path
) -> None:
    careful.create(refund())
    waits(careful)
    shown = agentid(dana, "approvals", "refund", "-o", "json").said

    tried = agentid(dana, "approve", "refund", "--dry-run")
    assert tried.code == 0, tried
    assert "refund approved (dry run)" in tried.out
    assert careful.list("agentapproval") == []
    approved = agentid(dana, "approve", "refund", "--comment", "checked", "--spec-hash", shown["specHash"])

    assert approved.code == 0, approved
    seen = careful.get("agenttask", "refund")
    assert story.standing(seen) == "Running"
    assert "it is Running" in approved.out
    assert seen["status"]["decision"]["approvers"] == [user_of(careful, "dana")]
    (written,) = careful.list("agentapproval")
    spec = written["spec"]
    assert spec["taskRef"] == {"name": "refund", "uid": shown["uid"]}
    assert {key: spec[key] for key in ("specHash", "intentGeneration", "projection")} == {
        key: shown[key] for key in ("specHash", "intentGeneration", "projection")
    }
    assert spec["comment"] == "checked"
    assert spec["approver"]["username"] == user_of(careful, "dana")
    assert "intent.purpose" in approved.out
    assert "Refund order 4711" in approved.out
    # As long as the task can last, and no longer.
    created = datetime.fromisoformat(seen["metadata"]["creationTimestamp"])
    assert datetime.fromisoformat(spec["expiresAt"]) == created + timedelta(seconds=600 + 3600)


def test_a_second_yes_while_the_first_counts_is_none_and_a_longer_one_is(
    careful: Kubectl, dana: Path
) -> None:
    careful.create(refund())
    waits(careful)
    assert agentid(dana, "approve", "refund", "--expires-in", "30m").code == 0

    again = agentid(dana, "approve", "refund", "-o", "json")
    assert (again.code, again.said["result"]) == (0, "unchanged"), again
    assert "you have approved AgentTask" in again.err
    assert len(careful.list("agentapproval")) == 1

    longer = agentid(dana, "approve", "refund", "--until", in_time(hours=2))
    assert longer.code == 0, longer
    assert len(careful.list("agentapproval")) == 2
    assert story.standing(careful.get("agenttask", "refund")) == "Running"


def test_after_a_yes_has_expired_another_is_said(careful: Kubectl, dana: Path) -> None:
    careful.create(refund())
    waits(careful)
    assert agentid(dana, "approve", "refund", "--expires-in", "8s").code == 0
    waits(careful)

    again = agentid(dana, "approve", "refund", "-o", "json")

    assert (again.code, again.said["result"], again.said["status"]) == (0, "done", "Running"), again
    past = agentid(dana, "approve", "refund", "--until", "2020-01-01T00:00:00Z")
    assert (past.code, "2020-01-01T00:00:00Z" in past.err) == (0, False), past


def test_a_yes_that_waits_for_another_is_told_and_two_at_once_are_two(
    careful: Kubectl, dana: Path, erin: Path
) -> None:
    careful.create([refund("one", **SECRET), refund("raced", **SECRET)])
    for name in ("one", "raced"):
        waits(careful, name)

    first = agentid(dana, "approve", "one")
    assert first.code == 0, first
    assert "still waits" in first.err
    assert f"Approved so far by {user_of(careful, 'dana')}." in first.err
    assert agentid(erin, "approve", "one").code == 0
    assert story.standing(careful.get("agenttask", "one")) == "Running"

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(agentid_process, who, "approve", "raced", "-o", "json") for who in (dana, erin)]
        assert [(each.result().code, each.result().said["result"]) for each in both] == [(0, "done")] * 2
    story.runs(careful, "raced")


def test_nobody_approves_what_they_asked_for_or_is_done_for_them(
    cluster: ControlPlane, careful: Kubectl, tmp_path: Path
) -> None:
    roles = ("agentid-editor", "agentid-approver")
    asks = caller(cluster, careful, "asks", tmp_path, *roles)
    whom = caller(cluster, careful, "whom", tmp_path, *roles)
    for_whom = task("refund", intent=REFUND, onBehalfOf=user_of(careful, "whom"))
    careful.as_user(user_of(careful, "asks"), ["system:masters"]).create(for_whom)
    waits(careful)

    for person, name, why in ((asks, "asks", "asked for it"), (whom, "whom", "is who it is done for")):
        refused = agentid(person, "approve", "refund")
        assert refused.code == 1
        assert f"is not yours to approve: {user_of(careful, name)} {why}" in refused.err
    assert careful.list("agentapproval") == []
    assert story.standing(careful.get("agenttask", "refund")) == "AwaitingApproval"
    # Their no counts.
    assert agentid(asks, "deny", "refund", "--reason", "asked too soon").code == 0
    assert story.standing(careful.get("agenttask", "refund")) == "ApprovalDenied"


def test_who_has_not_the_right_is_refused_and_told_which(
    cluster: ControlPlane, careful: Kubectl, tmp_path: Path
) -> None:
    viewer = caller(cluster, careful, "viewer", tmp_path, "agentid-viewer")
    nobody = caller(cluster, careful, "nobody", tmp_path)
    careful.create(refund())
    waits(careful)

    for said in (
        ("approve", "refund"),
        ("deny", "refund", "--reason", "no"),
        ("approve", "refund", "--dry-run"),
    ):
        refused = agentid(viewer, *said)
        assert refused.code == 1
        assert 'cannot create resource "agentapprovals"' in refused.err
        assert "ClusterRole agentid-approver gives that" in refused.err
    for said in (
        ("approvals",),
        ("approvals", "refund"),
        ("approve", "refund"),
        ("deny", "refund", "--reason", "x"),
    ):
        refused = agentid(nobody, *said)
        assert refused.code == 1
        assert re.search(r"you may not (get|list) agenttasks.agentid.dev in namespace", refused.err), refused
        assert "agentid-viewer" in refused.err
        assert refused.out == ""
    far = agentid(viewer, "approvals", "-A")
    assert (far.code, "ClusterRoleBinding" in far.err) == (1, True)


def test_who_may_create_approvals_and_not_approve_this_task_is_refused_by_the_server(
    cluster: ControlPlane, careful: Kubectl, tmp_path: Path
) -> None:
    rule = {"apiGroups": ["agentid.dev"], "resources": ["agentapprovals"], "verbs": ["create"]}
    name = f"approvals-only-{careful.namespace}"
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    careful.create({**role, "rules": [rule]})
    try:
        half = caller(cluster, careful, "half", tmp_path, "agentid-viewer", name)
        careful.create(refund())
        waits(careful)
        refused = agentid(half, "approve", "refund", "--dry-run")
        assert refused.code == 1
        assert f"may not approve AgentTask {careful.namespace}/refund" in refused.err
        assert "see ClusterRole agentid-approver" in refused.err
    finally:
        careful.delete("clusterrole", name)


def test_a_task_that_was_changed_between_show_and_approve_is_not_approved(
    careful: Kubectl, dana: Path
) -> None:
    careful.create(refund())
    waits(careful)
    reviewed = agentid(dana, "approvals", "refund", "-o", "json").said["specHash"]
    careful.patch("agenttask", "refund", {"spec": {"intent": OTHER}})

    refused = agentid(dana, "approve", "refund", "--spec-hash", reviewed)

    assert refused.code == 1
    assert f"is not what {reviewed} is of any more" in refused.err
    assert careful.list("agentapproval") == []


@pytest.mark.parametrize("change", ["intent", "another"])
async def test_what_changes_while_it_is_shown_is_not_approved(
    careful: Kubectl, cluster: ControlPlane, change: str
) -> None:
    careful.create(refund())
    waits(careful)
    yes = Saying(Decision.APPROVE, None)

    async with session(Where(cluster.kubeconfig, None, careful.namespace)) as here:
        shown = await look(here, "refund")
        me, _ = await who_am_i(here)
        if change == "intent":
            careful.patch("agenttask", "refund", {"spec": {"intent": OTHER}})
        else:
            careful.delete("agenttask", "refund")
            careful.create(refund())
        decided = await decide(here, yes, shown, me)

    assert decided.outcome.result is Result.REFUSED
    assert decided.approval is None
    assert ("was changed since" if change == "intent" else "is another one by now") in decided.outcome.message
    assert careful.list("agentapproval") == []


def test_what_differs_from_what_was_approved_last_is_shown(careful: Kubectl, dana: Path) -> None:
    careful.create(refund())
    waits(careful)
    assert agentid(dana, "approve", "refund").code == 0
    careful.patch("agenttask", "refund", {"spec": {"intent": OTHER}})
    story.stands(careful, "AwaitingApproval", "refund")

    shown = agentid(dana, "approvals", "refund")

    said = in_words(shown.out)
    assert f"What has changed since {user_of(careful, 'dana')} approved it at" in said, shown.out
    for part in (
        "- intent.purpose Refund order 4711",
        "+ intent.purpose Refund order 4712",
        "- intent.resources order/4711",
        "+ requester.intentGeneration 2",
        "it is about an intent that the task has not now",
    ):
        assert part in said, shown.out
    assert "- intent.sensitivity" not in said
    changed = {each["field"] for each in agentid(dana, "approvals", "refund", "-o", "json").said["changed"]}
    assert changed == {"intent.purpose", "intent.resources", "requester.intentGeneration"}


def test_a_no_takes_effect_and_no_yes_is_said_after_it(careful: Kubectl, dana: Path, erin: Path) -> None:
    careful.create(refund())
    waits(careful)
    assert agentid(erin, "approve", "refund").code == 0
    story.runs(careful, "refund")

    tried = agentid(dana, "deny", "refund", "--reason", "fraud", "--dry-run", "-o", "json")
    assert (tried.code, tried.said["dryRun"], len(careful.list("agentapproval"))) == (0, True, 1)
    denied = agentid(dana, "deny", "refund", "--reason", "fraud", "-o", "name")

    assert denied.code == 0, denied
    assert denied.out.startswith("agentapproval.agentid.dev/refund-")
    assert f"denied by {user_of(careful, 'dana')}: fraud" in denied.err
    assert story.standing(careful.get("agenttask", "refund")) == "ApprovalDenied"
    story.secret_gone_or_empty(careful, "refund")
    again = agentid(dana, "deny", "refund", "--reason", "fraud", "-o", "yaml")
    assert (again.code, "result: unchanged" in again.out) == (0, True)
    refused = agentid(erin, "approve", "refund")
    assert refused.code == 1
    assert "A no wins until its AgentApproval is deleted or the intent is changed" in refused.err


def test_what_waits_for_no_approval_is_not_approved(careful: Kubectl, dana: Path) -> None:
    careful.create([task("runs"), task("over", state="Ended"), refund()])
    story.runs(careful, "runs")
    story.ends(careful, "Ended", "over")
    waits(careful)
    for name, words, part in (
        ("runs", ("approve",), "does not wait for an approval: it is Running"),
        ("over", ("approve",), "has ended (Ended), which is final"),
        ("over", ("deny", "--reason", "no"), "has ended (Ended), which is final"),
        ("never-was", ("approve",), "does not exist"),
        ("never-was", ("deny", "--reason", "no"), "does not exist"),
        ("never-was", ("approvals",), "does not exist"),
    ):
        refused = agentid(dana, words[0], name, *words[1:])
        assert refused.code == 1, refused
        assert part in refused.err
        assert refused.out == ""
    assert careful.list("agentapproval") == []
    for wrong in (
        ("approve", "refund", "--expires-in", "soon"),
        ("approve", "refund", "--expires-in", "1h", "--until", in_time(hours=1)),
        ("approve", "refund", "--spec-hash", "abc"),
        ("approve", "refund", "--comment", ""),
        ("deny", "refund"),
        ("deny", "refund", "--reason", "x" * 1025),
        ("deny", "refund", "--reason", "two\nlines"),
        ("approvals", "refund", "-A"),
    ):
        assert agentid(dana, *wrong).code == 2, wrong
    too_long = agentid(dana, "approve", "refund", "--expires-in", "8d")
    assert too_long.code == 1
    assert "this cluster allows an approval at most" in too_long.err


def test_without_an_operator_the_word_is_written_and_told_not_to_be_acted_on(
    careful: Kubectl, dana: Path, operator: OperatorProcess
) -> None:
    careful.create(refund())
    waits(careful)
    operator.kill()
    try:
        late = agentid(dana, "approve", "refund", "--timeout", "1", "-o", "json")
        assert (late.code, late.said["result"]) == (1, "unsettled"), late
        assert "agentid doctor" in late.err
        assert len(careful.list("agentapproval")) == 1
    finally:
        operator.restart()
    story.runs(careful, "refund")


def test_why_names_who_may_approve_and_by_which_commands(careful: Kubectl, cluster: ControlPlane) -> None:
    careful.create(refund())
    waits(careful)
    said = in_words(agentid(cluster.kubeconfig, "why", "refund", "-n", careful.namespace).out)
    assert "refund waits for an approval." in said
    assert "who may approve who has the verb" in said
    for command in ("agentid approve refund", "agentid deny refund"):
        assert f"{command} -n {careful.namespace}" in said
