"""A Job whose pods carry a template's label has a task of its own, decided as the template's author's."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.approving import approval
from tests.cluster.given_rights import accepted as once_given
from tests.cluster.given_rights import give, on_tasks
from tests.cluster.objects import AGENT, agent, task_of_job
from tests.cluster.people import GROUP, OPERATOR, STRANGER, TENANT, People
from tests.cluster.policies import PERMIT_ALL, accepted, agent_policy
from tests.cluster.templates import TEMPLATE, job_of, template

CRON = "0 3 * * *"


@pytest.fixture
def author(team: Kubectl, people: People) -> Kubectl:
    """Alice, who has written the template."""
    assert team.namespace == people.tenant.namespace
    people.tenant.create(template())
    return people.tenant


def _events(here: Kubectl, name: str, kind: str = "Job") -> list[Object]:
    found = here.list("events.events.k8s.io")
    about = [e for e in found if (e["regarding"]["kind"], e["regarding"]["name"]) == (kind, name)]
    ours = [e for e in about if e.get("reportingController") == "agentid.dev/operator"]
    return sorted(ours, key=lambda e: e["eventTime"])


def _told(here: Kubectl, name: str, reason: str) -> Object:
    """Wait for the Event about a Job, and return it."""
    found = wait_until(
        f"an Event {reason} about Job {name}",
        lambda: _events(here, name),
        lambda events: reason in [e["reason"] for e in events],
        within=story.PROMPTLY,
    )
    return next(e for e in found if e["reason"] == reason)


def _cron_job(name: str) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": CRON, "jobTemplate": {"spec": job_of("unnamed")["spec"]}},
    }


def test_job_gets_a_task_of_its_own_and_its_pod_label_and_volume(author: Kubectl, team: Kubectl) -> None:
    team.create(job_of("nightly-1"))
    worker = playing.pod_of_job(team, "nightly-1")

    running = story.runs(team, "nightly-1")
    assert running["status"]["boundPod"]["name"] == worker
    job = team.get("job", "nightly-1")
    (owner,) = running["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "nightly-1", job["metadata"]["uid"])
    spec = running["spec"]
    assert spec["workload"]["ref"] == {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-1"}
    assert spec["requester"]["username"] == OPERATOR
    written = author.get("agenttasktemplate", TEMPLATE)
    assert spec["templateRef"] == {
        "name": TEMPLATE,
        "uid": written["metadata"]["uid"],
        "author": {"username": TENANT, "groups": sorted([GROUP, "system:authenticated"])},
    }
    found = team.get("pod", worker)
    assert found["metadata"]["labels"]["agentid.dev/task"] == "nightly-1"
    assert "agentid-nightly-1" in [v.get("secret", {}).get("secretName") for v in found["spec"]["volumes"]]
    first = next(e for e in story.told(team, running, at_least=1))
    assert f"asked by {TENANT}, " in first.note
    assert TENANT in _told(team, "nightly-1", "TaskCreated")["note"]

    playing.finish(team, worker)
    story.ends(team, "Completed", "nightly-1")
    story.secret_gone(team, "nightly-1")


def test_each_run_of_a_cron_job_is_an_identity_of_its_own(author: Kubectl, team: Kubectl) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    team.create(_cron_job("nightly"))
    for name in ("nightly-run-1", "nightly-run-2"):
        team("create", "job", name, "--from=cronjob/nightly")
        playing.pod_of_job(team, name)
    first, second = (story.runs(team, name) for name in ("nightly-run-1", "nightly-run-2"))

    assert first["status"]["spiffeID"] != second["status"]["spiffeID"]
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    assert first["spec"]["templateRef"] == second["spec"]["templateRef"]


def test_task_goes_with_its_job(author: Kubectl, team: Kubectl) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    team.create(job_of("nightly-1"))
    worker = playing.pod_of_job(team, "nightly-1")
    story.runs(team, "nightly-1")

    team.delete("job", "nightly-1", "--cascade=background", "--wait=false")
    playing.remove(team, worker)
    wait_until("the task is gone", lambda: team.find("agenttask", "nightly-1"), lambda seen: seen is None)
    wait_until("the Secret too", lambda: team.find("secret", "agentid-nightly-1"), lambda seen: seen is None)


def test_template_that_is_not_there_is_told_of_the_job_and_waited_for(team: Kubectl, people: People) -> None:
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")

    event = _told(team, "nightly-1", "TemplateNotFound")
    assert event["type"] == "Warning"
    assert f"AgentTaskTemplate {team.namespace}/{TEMPLATE}, which does not exist" in event["note"]
    assert team.find("agenttask", "nightly-1") is None

    people.tenant.create(template())
    story.runs(team, "nightly-1")


def test_template_of_another_namespace_is_not_found(
    author: Kubectl, team: Kubectl, cluster: ControlPlane
) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    elsewhere = cluster.kubectl.in_namespace("default")
    elsewhere.create(template("elsewhere"))
    try:
        team.create(job_of("nightly-1", "elsewhere"))
        playing.pod_of_job(team, "nightly-1")
        _told(team, "nightly-1", "TemplateNotFound")
    finally:
        elsewhere.delete("agenttasktemplate", "elsewhere")


def test_name_that_another_task_has_is_told_of_the_job_and_its_pod_gets_nothing(
    author: Kubectl, team: Kubectl
) -> None:
    author.create(task_of_job("nightly-1"))
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")

    event = _told(team, "nightly-1", "TaskNameTaken")
    assert f"AgentTask {team.namespace}/nightly-1 was not" in event["note"]
    waiting = story.stands(team, "PodMismatch", "nightly-1")
    assert story.serials(waiting) == []

    author.delete("agenttask", "nightly-1")
    running = story.runs(team, "nightly-1")
    assert running["spec"]["templateRef"]["name"] == TEMPLATE


def test_decision_is_about_the_author_and_not_about_the_operator(
    author: Kubectl, team: Kubectl, people: People
) -> None:
    people.stranger.create(template("strangers"))
    assert author.find("agenttasktemplate", TEMPLATE)
    forbids = f'forbid (principal, action, resource) when {{ context.requester.username == "{STRANGER}" }};'
    cedar = f"permit (principal, action, resource);\n{forbids}\n"
    policy = {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentPolicy",
        "metadata": {"name": "not-mallory"},
        "spec": {"cedar": cedar},
    }
    team.create(policy)
    team.wait_for("agentpolicy", "not-mallory", lambda seen: seen.get("status", {}).get("accepted"))
    for name, of in (("alices", TEMPLATE), ("mallorys", "strangers")):
        team.create(job_of(name, of))
        playing.pod_of_job(team, name)

    story.runs(team, "alices")
    denied = story.stands(team, "AwaitingPolicy", "mallorys")
    assert story.serials(denied) == []

    # Who writes a template anew is not the author of what was made from it before.
    author.patch(
        "agenttasktemplate", "strangers", {"spec": {"template": {"spec": {"activeDeadlineSeconds": 1200}}}}
    )
    team.create(job_of("later", "strangers"))
    playing.pod_of_job(team, "later")
    story.runs(team, "later")
    assert story.standing(team.get("agenttask", "mallorys")) == "AwaitingPolicy"


def test_author_of_a_template_does_not_approve_its_tasks_and_somebody_else_does(
    author: Kubectl, team: Kubectl, people: People
) -> None:
    needs_one = f"{PERMIT_ALL}forbid (principal, action, resource) unless {{ context.approved }};"
    accepted(team, agent_policy(needs_one))
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")
    waiting = story.stands(team, "AwaitingApproval", "nightly-1")
    for user in (TENANT, STRANGER):
        give(team, user, on_tasks("approve"))

    once_given(partial(author.create, approval(waiting, "own")))
    told = f"AgentApproval own does not count: {TENANT} wrote the template of it."
    waiting = team.wait_for(
        "agenttask", "nightly-1", lambda seen: told in story.conditions(seen)["Finished"]["message"]
    )
    assert story.standing(waiting) == "AwaitingApproval"
    assert "credentialGeneration" not in waiting["status"]

    once_given(partial(people.stranger.create, approval(waiting, "yes")))
    assert story.runs(team, "nightly-1")["status"]["decision"]["approvers"] == [STRANGER]


def test_whoever_changes_the_intent_of_a_templates_task_is_who_asks(
    author: Kubectl, team: Kubectl, people: People
) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    forbids = f'forbid (principal, action, resource) when {{ context.requester.username == "{STRANGER}" }};'
    team.create(
        {
            "apiVersion": "agentid.dev/v1alpha1",
            "kind": "AgentPolicy",
            "metadata": {"name": "not-mallory"},
            "spec": {"cedar": f"permit (principal, action, resource);\n{forbids}\n"},
        }
    )
    team.wait_for("agentpolicy", "not-mallory", lambda seen: seen.get("status", {}).get("accepted"))
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")
    story.runs(team, "nightly-1")

    other = {"purpose": "Refund everything", "actions": ["refunds:create"]}
    people.stranger.patch("agenttask", "nightly-1", {"spec": {"intent": other}})
    story.ends(team, "Revoked", "nightly-1")


def test_ended_task_of_a_living_job_is_not_made_again(
    author: Kubectl, team: Kubectl, people: People, operator: OperatorProcess
) -> None:
    author.patch(
        "agenttasktemplate", TEMPLATE, {"spec": {"template": {"spec": {"ttlSecondsAfterFinished": 0}}}}
    )
    team.create(job_of("nightly-1"))
    worker = playing.pod_of_job(team, "nightly-1")
    first = story.runs(team, "nightly-1")

    people.admin.patch("agenttask", "nightly-1", {"spec": {"state": "Ended"}})
    story.ends(team, "Ended", "nightly-1")
    for person in (people.tenant, people.stranger, people.admin):
        if person is not people.admin:
            with pytest.raises(KubectlError, match="goes with its Job"):
                person.delete("agenttask", "nightly-1")
        with pytest.raises(KubectlError, match="stays with that Job"):
            person.patch("agenttask", "nightly-1", {"metadata": {"ownerReferences": None}})
    operator.restart()
    operator.wait_ready()
    over = story.settled(team, "nightly-1")
    assert over["metadata"]["uid"] == first["metadata"]["uid"]
    assert story.standing(over) == "Ended"

    # Once the Job is done, its time after that is over too.
    playing.finish(team, worker)
    wait_until(
        "the task is gone",
        lambda: team.find("agenttask", "nightly-1"),
        lambda seen: seen is None,
        within=timedelta(seconds=60),
    )
    assert team.find("job", "nightly-1") is not None


def test_operator_that_was_away_makes_the_task_when_it_is_back_and_only_one(
    author: Kubectl, team: Kubectl, operator: OperatorProcess
) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    operator.kill()
    team.create(job_of("nightly-1"))
    worker = playing.pod_of_job(team, "nightly-1")
    assert team.find("agenttask", "nightly-1") is None
    operator.start()

    first = story.runs(team, "nightly-1")
    operator.kill()
    operator.start()
    assert story.runs(team, "nightly-1")["metadata"]["uid"] == first["metadata"]["uid"]
    playing.finish(team, worker)
    story.ends(team, "Completed", "nightly-1")


def test_job_that_is_done_or_gone_before_the_operator_sees_it_gets_no_task(
    author: Kubectl, team: Kubectl, operator: OperatorProcess
) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    operator.kill()
    team.create([job_of("done"), job_of("gone"), job_of("lives")])
    workers = {name: playing.pod_of_job(team, name) for name in ("done", "gone", "lives")}
    playing.finish(team, workers["done"])
    team.wait_for("job", "done", lambda seen: seen.get("status", {}).get("completionTime"))
    team.delete("job", "gone", "--cascade=orphan")
    operator.start()

    story.runs(team, "lives")
    assert team.find("agenttask", "done") is None
    assert team.find("agenttask", "gone") is None


def test_template_asks_for_more_than_the_cluster_allows_is_told_of_the_job(
    team: Kubectl, people: People
) -> None:
    people.tenant.create(template(intent={"purpose": "Too much", "actions": ["refunds:delete"]}))
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")

    waiting = story.stands(team, "CeilingExceeded", "nightly-1")
    assert "refunds:delete" in story.conditions(waiting)["Finished"]["message"]
    team.apply(agent(actions=["refunds:delete"]))
    story.runs(team, "nightly-1")
    assert team.get("agenttask", "nightly-1")["spec"]["agentRef"] == {"name": AGENT}


@pytest.fixture
def quota(team: Kubectl) -> Iterator[None]:
    """No AgentTask may be made in the namespace."""
    name = "no-tasks"
    hard = {"count/agenttasks.agentid.dev": "0"}
    team.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}
    )
    team.wait_for("resourcequota", name, lambda seen: seen.get("status", {}).get("hard") == hard)
    yield
    team("delete", "resourcequota", name, "--ignore-not-found")


@pytest.mark.usefixtures("quota")
def test_task_that_is_refused_is_told_of_the_job_and_made_once_it_may_be(
    author: Kubectl, team: Kubectl
) -> None:
    assert author.find("agenttasktemplate", TEMPLATE)
    team.create(job_of("nightly-1"))
    playing.pod_of_job(team, "nightly-1")

    event = _told(team, "nightly-1", "TemplateRefused")
    assert "exceeded quota: no-tasks" in event["note"]
    team.delete("resourcequota", "no-tasks")
    story.runs(team, "nightly-1")
    reasons = [e["reason"] for e in _events(team, "nightly-1")]
    assert reasons == ["TemplateRefused", "TaskCreated"]
