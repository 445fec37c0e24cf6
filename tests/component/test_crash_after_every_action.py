"""An operator that is killed after any of its actions and started again gets to the same place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType
from agentid.lifecycle.model import PodPhase, WorkloadFacts, WorkloadState
from tests.component.cluster_in_memory import Cluster, ConflictError, LostError
from tests.component.executor import DeposedError, Operator
from tests.unit.lifecycle_facts import (
    ALLOW,
    JOB,
    JOB_UID,
    LABEL_ONLY,
    condition,
    pod,
    static_secret,
    task_spec,
)

Place = tuple[str | None, bool, bool]
Step = Callable[[Cluster], None]
MAX_PASSES = 12


def has_pod(number: int) -> Step:
    def step(cluster: Cluster) -> None:
        made = pod(number)
        cluster.pods[made.uid] = made

    return step


def pod_succeeds(cluster: Cluster) -> None:
    for each in list(cluster.pods.values()):
        cluster.finish_pod(each, PodPhase.SUCCEEDED)


def pod_runs(cluster: Cluster) -> None:
    for each in list(cluster.pods.values()):
        cluster.change_pod(each, all_run=True)


def pod_leaves(cluster: Cluster) -> None:
    for each in list(cluster.pods.values()):
        cluster.change_pod(each, leaving=True, gone_by=cluster.now + timedelta(seconds=30))


def pods_go(cluster: Cluster) -> None:
    cluster.pods.clear()


def goes_by(seconds: int) -> Step:
    def step(cluster: Cluster) -> None:
        cluster.sync_kubelets()
        cluster.now += timedelta(seconds=seconds)

    return step


def spec(**changes: object) -> Step:
    def step(cluster: Cluster) -> None:
        assert cluster.task is not None
        assert cluster.task.spec is not None
        wanted = task_spec(**changes)
        update = {name: getattr(wanted, name) for name in changes}
        cluster.change_task(spec=cluster.task.spec.model_copy(update=update))

    return step


def job_completes(cluster: Cluster) -> None:
    cluster.workload = WorkloadFacts(WorkloadState.SUCCEEDED, JOB_UID, "Complete")


def task_is_deleted(cluster: Cluster) -> None:
    cluster.task = None


def policy(**says: object) -> Step:
    def step(cluster: Cluster) -> None:
        cluster.policy = says

    return step


def keeps(**changes: object) -> Step:
    def step(cluster: Cluster) -> None:
        cluster.static_secret = static_secret(**changes)

    return step


ASKS = spec(static_secrets=[{"name": "legacy-crm-key"}])
DENIED = policy(allowed=False, message="a rule forbids it")
IN_DOUBT = policy(allowed=False, in_doubt=True, message="the engine gave no answer")
UNAPPROVED = policy(allowed=False, awaits_approval=True, message="it needs an approval")
OTHER_INTENT = {"purpose": "Look only", "actions": ["orders:read"]}
LIVES: dict[str, tuple[dict[str, object] | None, list[Step]]] = {
    "a pod that succeeds": (LABEL_ONLY, [has_pod(1), pod_succeeds]),
    "a pod that is renewed and deleted": (LABEL_ONLY, [has_pod(1), goes_by(45), pod_leaves, pods_go]),
    "a deadline under a living pod": (
        LABEL_ONLY,
        [has_pod(1), *[goes_by(45)] * 10, goes_by(130), goes_by(130)],
    ),
    "a suspension": (
        LABEL_ONLY,
        [
            has_pod(1),
            spec(state="Suspended"),
            goes_by(90),
            spec(state="Active"),
            pod_runs,
            spec(state="Ended"),
            goes_by(130),
            goes_by(130),
        ],
    ),
    "a change of intent": (LABEL_ONLY, [has_pod(1), spec(intent=OTHER_INTENT), goes_by(45), pod_succeeds]),
    "a drained Job": (JOB, [has_pod(1), pod_leaves, has_pod(2), goes_by(31), pod_succeeds, job_completes]),
    "pods that follow each other": (ALLOW, [has_pod(1), pods_go, has_pod(2), pods_go, spec(state="Ended")]),
    "a task without a pod": (None, [goes_by(45), spec(state="Ended")]),
    "a policy that forbids it": (LABEL_ONLY, [has_pod(1), goes_by(45), DENIED, goes_by(130), pods_go]),
    "a policy in doubt": (LABEL_ONLY, [has_pod(1), IN_DOUBT, goes_by(45), policy(), pod_succeeds]),
    "an approval that comes": (JOB, [UNAPPROVED, has_pod(1), goes_by(45), policy(), job_completes, pods_go]),
    "an approval that is awaited again": (
        None,
        [goes_by(45), UNAPPROVED, goes_by(45), policy(), spec(state="Ended")],
    ),
    "a policy that forbids nothing but the time between two pods": (
        JOB,
        [has_pod(1), pods_go, DENIED, goes_by(5), policy(), has_pod(2), pod_succeeds, job_completes],
    ),
    "a static secret that is rotated": (
        LABEL_ONLY,
        [ASKS, has_pod(1), keeps(version="bb02"), goes_by(45), pod_succeeds],
    ),
    "a static secret that is lost and found": (
        LABEL_ONLY,
        [ASKS, has_pod(1), keeps(version=None, problem="x"), keeps(version="bb02"), pod_succeeds],
    ),
    "a static secret that is taken back": (
        LABEL_ONLY,
        [ASKS, has_pod(1), keeps(spec=None, version=None), goes_by(130), pods_go],
    ),
    "a second pod": (LABEL_ONLY, [has_pod(1), has_pod(2), goes_by(130), pods_go]),
    "a deleted task": (LABEL_ONLY, [has_pod(1), task_is_deleted, goes_by(130), pods_go]),
}


class Life:
    """Lets one thing after another happen to a task and kills the operator after action `killed_after`."""

    def __init__(self, workload: dict[str, object] | None, killed_after: int | None = None) -> None:
        spec = task_spec(workload=workload, credential={"ttlSeconds": 60}, activeDeadlineSeconds=400)
        self.cluster = Cluster(spec)
        if workload is JOB:
            self.cluster.workload = WorkloadFacts(WorkloadState.LIVE, JOB_UID)
        self.operator = Operator(self.cluster)
        self.actions = 0
        self.killed_after = killed_after

    def goes_through(
        self, steps: list[Step], fault: LostError | None = None, fault_in: int = -1
    ) -> list[Place]:
        """Return where the task stood after each of `steps`; in one of them a write gets no answer."""
        places = []
        for number, step in enumerate(steps):
            if number == fault_in:
                self.cluster.fault = fault
            step(self.cluster)
            self.work()
            places.append(self.place())
        return places

    def work(self) -> None:
        """Let the operator work until it has nothing to do."""
        did: list[str] = []
        for _ in range(MAX_PASSES):
            did = []
            for action in self.operator.run():
                did.append(action)
                self.actions += 1
                if self.actions == self.killed_after:
                    self.operator = Operator(self.cluster)
                    break
            failed = self.operator.failed
            if failed is not None and failed.retry_at > self.cluster.now:
                self.cluster.now = failed.retry_at
            elif not did:
                return
        pytest.fail(f"still acting after {MAX_PASSES} passes: {did}, {self.cluster.status.conditions}")

    def place(self) -> Place:
        """Return reason of Finished, whether a Secret is there, and whether it can be used."""
        self.cluster.collect_garbage()
        said = condition(self.cluster.status, ConditionType.FINISHED)
        counting = self.cluster.status.credentials if self.cluster.task is not None else []
        secret = self.cluster.secret
        in_secret = None if secret is None else secret.generation
        assert in_secret == (counting[-1].generation if counting else None)
        copies = () if secret is None else secret.copies
        assert list(copies) == (self.cluster.status.static_secrets if counting else [])
        return said.reason if said else None, secret is not None, in_secret is not None


@pytest.mark.parametrize("name", LIVES)
def test_operator_killed_after_any_action_gets_to_the_same_place(name: str):
    workload, steps = LIVES[name]
    undisturbed = Life(workload)
    places = undisturbed.goes_through(steps)
    assert undisturbed.actions >= 4
    for action in range(1, undisturbed.actions + 1):
        killed = Life(workload, killed_after=action)
        assert killed.goes_through(steps) == places, f"killed after action {action}"
        assert killed.cluster.end == undisturbed.cluster.end


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("happened", [True, False], ids=["written", "not written"])
def test_write_without_an_answer_leads_to_the_same_place(name: str, happened: bool):  # noqa: FBT001 - a parameter
    workload, steps = LIVES[name]
    last = Life(workload).goes_through(steps)[-1]
    for step in range(len(steps)):
        unlucky = Life(workload)
        assert unlucky.goes_through(steps, LostError(happened=happened), fault_in=step)[-1] == last


def test_life_of_a_bound_task_costs_six_writes():
    life = Life(LABEL_ONLY)
    has_pod(1)(life.cluster)
    assert list(life.operator.run()) == ["status", "fill", "event"]
    assert list(life.operator.run()) == []
    pod_succeeds(life.cluster)
    assert list(life.operator.run()) == ["status", "delete", "event"]
    assert list(life.operator.run()) == []
    assert len(life.operator.notes) == 2


def test_restart_writes_nothing_for_a_task_that_runs():
    life = Life(LABEL_ONLY)
    life.goes_through([has_pod(1)])
    before = (life.cluster.task, life.cluster.secret)
    again = Operator(life.cluster)
    assert list(again.run()) == ["probe"]
    assert list(again.run()) == []
    assert (life.cluster.task, life.cluster.secret) == before


def test_operator_that_decided_on_an_old_status_releases_no_key():
    cluster = Life(LABEL_ONLY).cluster
    has_pod(1)(cluster)
    late, leader = Operator(cluster), Operator(cluster)
    late_plan = late.run()
    list(leader.run())
    secret, status = cluster.secret, cluster.status
    assert list(late_plan) == ["overtaken"]
    assert (cluster.secret, cluster.status) == (secret, status)


def test_deposed_operator_that_wrote_the_status_leaves_one_live_credential():
    cluster = Life(LABEL_ONLY).cluster
    has_pod(1)(cluster)
    late, leader = Operator(cluster), Operator(cluster)
    its_pass = late.run()
    assert next(its_pass) == "status"
    late.leads = False
    for _ in range(3):
        list(leader.run())
    with pytest.raises(DeposedError):
        next(its_pass)
    assert cluster.secret is not None
    assert [each.generation for each in cluster.status.credentials] == [cluster.secret.generation]


def test_conflicting_writes_are_told_apart():
    cluster = Life(LABEL_ONLY).cluster
    made = cluster.create_secret(1, frozenset())
    with pytest.raises(ConflictError):
        cluster.create_secret(2, frozenset())
    with pytest.raises(ConflictError):
        cluster.replace_secret(2, "another", made.version, frozenset())
