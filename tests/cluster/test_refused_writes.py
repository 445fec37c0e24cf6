"""What a cluster's own rules refuse is told, tried again with growing pauses, and taken for nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import ANY_POD, TASK, pod, task

FREEZE = "change-freeze.example.com"
SLOWLY = timedelta(seconds=90)
SECRET = f"agentid-{TASK}"

SECRETS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
STATUSES = {"apiGroups": ["agentid.dev"], "apiVersions": ["v1alpha1"], "resources": ["agenttasks/status"]}


@contextmanager
def frozen(here: Kubectl, admin: Kubectl, what: Object, *operations: str) -> Iterator[Callable[[], None]]:
    """Have somebody's rule refuse some writes in a namespace; yields what takes it back before the end.

    Without a `reason` of its own, a ValidatingAdmissionPolicy answers 422, not 403.
    """
    rule = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": FREEZE},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": here.namespace}},
                "resourceRules": [{**what, "operations": list(operations)}],
            },
            "validations": [{"expression": "false", "message": "changes are frozen until Monday"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": FREEZE},
        "spec": {"policyName": FREEZE, "validationActions": ["Deny"]},
    }

    def thaw() -> None:
        admin.delete("validatingadmissionpolicybinding", FREEZE, "--ignore-not-found")
        admin.delete("validatingadmissionpolicy", FREEZE, "--ignore-not-found")

    admin.create([rule, binding])
    wait_until_in_force(admin)
    try:
        yield thaw
    finally:
        thaw()
        wait_until_in_force(admin)


def stalled(here: Kubectl, reason: str, *words: str, name: str = TASK) -> Object:
    """Wait until a task says that a person has to mend something, for `reason`, and see what it says."""

    def says(seen: Object) -> bool:
        condition = story.conditions(seen).get("Stalled", {})
        said = str(condition.get("message", ""))
        return condition.get("reason") == reason and all(word in said for word in words)

    return here.wait_for("agenttask", name, says, SLOWLY, f"{name} is stalled by {reason}: {words}")


def failures(operator: OperatorProcess, here: Kubectl, action: str = "") -> list[Object]:
    """What the operator logged of its failed writes to Secrets of a namespace."""
    return [
        each
        for each in operator.log_lines()
        if each["event"] == "secret write failed"
        and each.get("namespace") == here.namespace
        and each["action"].startswith(action)
    ]


def failed_often(operator: OperatorProcess, here: Kubectl, times: int = 5) -> list[Object]:
    return wait_until(
        f"{times} writes failed",
        lambda: failures(operator, here),
        lambda seen: len(seen) >= times,
        within=SLOWLY,
    )


def pauses(of: list[Object]) -> list[float]:
    return [float(each["retry_seconds"]) for each in of]


def reasons(here: Kubectl, of: Object, at_least: int = 1) -> list[str]:
    return [each.reason for each in story.told(here, of, at_least)]


@pytest.mark.parametrize("state", ["Ended", "Suspended"])
def test_refused_wipe_is_told_and_tried_until_it_succeeds(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess, state: str
) -> None:
    team.create(task())
    story.runs(team)
    with frozen(team, admin, SECRETS, "UPDATE", "DELETE") as thaw:
        team.patch("agenttask", TASK, {"spec": {"state": state}})

        says = stalled(team, "CleanupDelayed", SECRET, FREEZE, "frozen until Monday")
        tried = pauses(failed_often(operator, team))
        assert not story.is_empty(team.get("secret", SECRET))
        assert tried == sorted(tried), "the pauses grow"
        told = story.told(team, says, 3)
        assert [each.reason for each in told].count("CleanupDelayed") == 1
        end = next(each for each in told if each.action in {"End", "Revoke"})
        assert f"Secret {SECRET} still has to be emptied" in end.note
        assert operator.metric("agentid_takeaway_failures_total") >= len(tried)
        thaw()

        story.secret_gone(team, within=SLOWLY)
    cleaned = team.wait_for("agenttask", TASK, lambda seen: "Stalled" not in story.conditions(seen), SLOWLY)
    assert story.standing(cleaned) == state


def test_refused_wipe_of_a_deleted_task_is_tried_until_it_succeeds_and_its_end_told_before(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod()])
    running = story.runs(team)
    with frozen(team, admin, SECRETS, "UPDATE", "DELETE") as thaw:
        team.delete("agenttask", TASK)

        failed_often(operator, team, 2)
        told = story.told(team, running, 2)
        assert f"Secret {SECRET} still has to be emptied" in told[-1].note, told
        team.create(task(**ANY_POD))
        story.stands(team, "SecretNameTaken")
        assert not story.is_empty(team.get("secret", SECRET))
        thaw()

        story.secret_gone_or_empty(team, within=SLOWLY)
    again = story.told(team, running, 2)
    assert [each.reason for each in again].count("TaskEnded") == 1


@pytest.mark.parametrize("state", ["Ended", "Suspended"])
def test_end_whose_status_is_refused_takes_the_key_all_the_same(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess, state: str
) -> None:
    team.create(task())
    running = story.runs(team)
    with frozen(team, admin, STATUSES, "UPDATE") as thaw:
        team.patch("agenttask", TASK, {"spec": {"state": state}})

        story.secret_gone(team)
        assert team.get("agenttask", TASK)["status"] == running["status"], "it could not be recorded"
        assert any(
            each["event"] == "end not recorded" and each.get("namespace") == team.namespace
            for each in operator.log_lines()
        )
        thaw()

        story.stands(team, state, within=SLOWLY)
    assert operator.alive()


def test_refused_renewal_leaves_the_credential_and_its_task_s_own(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    team.create(task(credential={"ttlSeconds": 60}))
    running = story.runs(team)
    held = story.leaf_serial(team.get("secret", SECRET))
    with frozen(team, admin, SECRETS, "UPDATE", "DELETE") as thaw:
        says = stalled(team, "IssuanceBlocked", SECRET, FREEZE)
        failed_often(operator, team, 4)

        still = team.get("agenttask", TASK)
        assert story.standing(says) == "Running"
        if story.standing(still) == "Running":
            assert story.serials(still) == [held], "only the credential that is there counts"
        assert still["status"]["credentialGeneration"] <= running["status"]["credentialGeneration"] + 1
        assert "CredentialRenewed" not in reasons(team, still)
        team.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
        stalled(team, "CleanupDelayed", SECRET)
        assert not story.is_empty(team.get("secret", SECRET))
        thaw()

        story.secret_gone(team, within=SLOWLY)
    assert story.standing(team.get("agenttask", TASK)) == "Ended"


def test_refused_renewal_succeeds_once_it_is_let(team: Kubectl, admin: Kubectl) -> None:
    team.create(task(credential={"ttlSeconds": 60}))
    before = story.serials(story.runs(team))
    with frozen(team, admin, SECRETS, "UPDATE") as thaw:
        stalled(team, "IssuanceBlocked", SECRET, FREEZE)
        thaw()
        renewed = team.wait_for(
            "agenttask",
            TASK,
            lambda seen: "Stalled" not in story.conditions(seen) and story.serials(seen)[-1:] != before,
            SLOWLY,
        )
    assert story.standing(renewed) == "Running"
    assert story.runs(team)


def quota(hard: int) -> Object:
    """As many Secrets as a namespace may have."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/secrets": str(hard)}},
    }


def limit_secrets(here: Kubectl) -> None:
    """Let nobody make a Secret, and wait until that is in force."""
    here.create(quota(0))
    manifest = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "one-more"}}

    def attempt() -> str:
        try:
            here.create(manifest, "--dry-run=server")
        except KubectlError as refused:
            return refused.stderr
        return ""

    wait_until("the quota is in force", attempt, lambda said: "exceeded quota" in said, within=SLOWLY)


def test_credential_that_a_quota_keeps_from_its_secret_is_not_said_to_be_issued(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    limit_secrets(team)
    team.create(task())

    stalled(team, "IssuanceBlocked", SECRET, "exceeded quota")
    tried = pauses(failed_often(operator, team))
    waits = team.get("agenttask", TASK)
    assert tried == sorted(tried), "the pauses grow"
    assert story.standing(waits) == "IssuanceBlocked"
    assert story.conditions(waits)["CredentialIssued"]["status"] == "False"
    assert story.serials(waits) == []
    assert waits["status"]["credentialGeneration"] == 1, "no key is made while it is refused"
    assert {"startTime", "deadline"}.isdisjoint(waits["status"])
    assert reasons(team, waits) == ["IssuanceBlocked"]
    assert not any(
        each["event"] == "credential issued" and each.get("namespace") == team.namespace
        for each in operator.log_lines()
    )

    team.patch("resourcequota", "few", {"spec": quota(99)["spec"]})
    running = story.runs(team, within=SLOWLY)
    assert running["status"]["credentialGeneration"] == 2
    assert "Stalled" not in story.conditions(running)
    assert reasons(team, running, 2)[-1] == "CredentialIssued"
    team.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    story.secret_gone(team)
    assert made_and_deleted(cluster, team, TASK) == {TASK: (1, 1)}


def test_task_whose_secret_is_refused_ends_at_its_start_deadline_across_a_restart(
    team: Kubectl, operator: OperatorProcess
) -> None:
    limit_secrets(team)
    team.create(task(startDeadlineSeconds=30))
    stalled(team, "IssuanceBlocked", SECRET, "exceeded quota")
    operator.restart()

    story.ends(team, "StartDeadlineExceeded", within=SLOWLY)
    assert team.find("secret", SECRET) is None
