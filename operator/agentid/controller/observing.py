"""Puts together what one decision is made on; what would end a task is looked at before it is believed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from agentid.api.agenttask import DesiredState
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.lease import Takeover
from agentid.cluster.paths import AGENTS, PODS, TASKS
from agentid.cluster.reads import Reads
from agentid.controller.families import Families
from agentid.controller.issuing import Hindrance
from agentid.controller.judging import Judge
from agentid.controller.owners import OwnerChains
from agentid.controller.packed_task import PackedTask, Standing
from agentid.controller.quotas import Quotas
from agentid.controller.records import Record
from agentid.controller.second_opinion import SecondOpinion
from agentid.controller.secret_memory import MARGIN, SETTLED_MARGIN, recall
from agentid.controller.static_secrets import StaticSecrets
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.lifecycle.approvals import consent_to
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    Limits,
    Observation,
    PodFacts,
    StaticSecretFacts,
    TaskFacts,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.pods import lives
from agentid.watched.facts import Key, mapping, pod_task, text

_log = structlog.get_logger("agentid.observe")

_LIST_SECONDS: Final = 10.0
"""How long a pass waits for the list of a kind that no task referred to before."""
UNLABELLED_LOOK: Final = timedelta(seconds=10)
"""How often a pod is looked at that lost its label, and that no watch shows any more."""


class Observer:
    """Makes observations from the world, asking the API server only where the world may be wrong."""

    def __init__(  # noqa: PLR0913 - everything an observation is made of
        self,
        *,
        world: World,
        reads: Reads,
        workloads: Workloads,
        static_secrets: StaticSecrets,
        limits: Limits,
        clock: Callable[[], datetime],
        judge: Judge,
        opinion: SecondOpinion | None = None,
        issuing: Hindrance,
        quotas: Quotas,
        takeover: Callable[[], Takeover],
    ) -> None:
        self._world = world
        self._reads = reads
        self._workloads = workloads
        self._static_secrets = static_secrets
        self._families = Families(world, reads)
        self._owners = OwnerChains(reads, workloads.owner_resource)
        self._limits = limits
        self._clock = clock
        self._judge = judge
        self._opinion = opinion
        self._issuing = issuing
        self._quotas = quotas
        self._takeover = takeover

    async def observe(self, key: Key, record: Record, task: PackedTask) -> Observation:
        """Return the observation of `task`, which is the one in `record`.

        Raises:
            ApiAnswerError: the API server did not answer a question that matters.
        """
        if self._opinion is None:
            return await self._look(key, record, task)
        return await self._opinion.heard(record, lambda: self._look(key, record, task))

    async def _look(self, key: Key, record: Record, task: PackedTask) -> Observation:
        facts = task.facts()
        _log_unreadable_status(record, facts)
        await self._find_bound_pod(key, record, facts.status)
        await self._look_at_unlabelled_pods(key, record)
        family = await self._families.of(facts)
        agent = await self._agent(task, started=facts.status.start_time is not None)
        workload, unseen = await self._workload(task, facts.status)
        pods = await self._pods(record, task)
        static_secrets, unread = await self._static(task, facts)
        await self._judge.prepare(task.namespace)
        self._remember(record, facts, pods)
        now, approvals = self._clock(), self._world.approvals.of(key)
        observation = Observation(
            now=now,
            task=facts,
            agent=agent,
            pods=pods,
            workload=workload,
            secret=record.secret.facts_for(task.uid),
            limits=self._limits,
            family=family,
            consent=consent_to(facts, family.lineage, approvals, now),
            blocked=self._issuing.blocked or unseen or unread,
            failed_write=record.failed_write,
            static_secrets=static_secrets,
            crowded=self._quotas.crowded(task, agent),
        )
        return replace(observation, judgement=self._judge.judge(observation))

    async def look_again(self, key: Key, uid: str) -> None:
        """Have the world know the task as it is now, or that the one with that UID is gone.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        body = await self._reads.get(TASKS, *key)
        if body is not None:
            self._world.take_task(body)
        else:
            self._world.drop_task(key, uid)

    async def finds(self, key: Key, record: Record, uid: str, status: AgentTaskStatus) -> bool:
        """Return whether a fresh look, if there is one, shows that the task with that UID has this status."""
        try:
            await self.look_again(key, uid)
        except ApiAnswerError:
            return False
        return record.task is not None and record.task.uid == uid and record.task.facts().status == status

    def _remember(self, record: Record, task: TaskFacts, pods: tuple[PodFacts, ...]) -> None:
        """Bring what is remembered of the Secret together with what the status says."""
        if record.secret.state is not None:
            record.secret.check(task.uid, task.status.credential_generation or 0)
        elif task.status_invalid is not None:
            record.secret.doubtful(task.uid)
        else:
            takeover = self._takeover()
            recall(
                record.secret,
                task_uid=task.uid,
                status=task.status,
                last_at_work=takeover.last_at_work,
                margin=SETTLED_MARGIN if takeover.settled else MARGIN,
                limits=self._limits,
                pod_lives=any(lives(pod) and pod.scheduled for pod in pods),
            )

    async def _find_bound_pod(self, key: Key, record: Record, status: AgentTaskStatus) -> None:
        """Look for the bound pod where no watch shows it, before its absence ends the task."""
        bound = status.bound_pod
        if bound is None or bound.uid in record.pods or status.end_time is not None:
            return
        body = await self._reads.get(PODS, key[0], bound.name)
        if body is not None and text(mapping(body.get("metadata")).get("uid")) == bound.uid:
            self._world.take_pod(body, fallback=key)

    async def _look_at_unlabelled_pods(self, key: Key, record: Record) -> None:
        for pod in [each.facts for each in record.pods.values() if not each.facts.labelled]:
            body = await self._reads.get(PODS, key[0], pod.name)
            if body is None or text(mapping(body.get("metadata")).get("uid")) != pod.uid:
                self._world.drop_pod(pod.uid)
            else:
                self._world.take_pod(body, fallback=None if pod_task(body) else key)

    async def _agent(self, task: PackedTask, *, started: bool) -> AgentFacts | None:
        key = (task.namespace, task.agent)
        known = self._world.agents.of(key)
        if known is not None or not started or not task.agent:
            return known
        # It takes the task's permission away for good, so the watch alone is not believed.
        body = await self._reads.get(AGENTS, *key)
        if body is not None:
            self._world.agents.take(body)
        return self._world.agents.of(key)

    async def _workload(
        self, task: PackedTask, status: AgentTaskStatus
    ) -> tuple[WorkloadFacts, Blocked | None]:
        if task.workload is None:
            return WorkloadFacts(WorkloadState.NOT_NAMED), None
        found = await self._workloads.look_up(task.workload, _LIST_SECONDS)
        if found is not None:
            return found, None
        kind, namespace = task.workload.kind, task.workload.namespace
        why = Blocked(
            f"{kind} objects in namespace {namespace} can't be watched just now; see the operator's log"
        )
        # Neither its end nor its beginning can be seen: nothing ends by that, and nothing is issued.
        if status.workload_uid is None:
            return WorkloadFacts(WorkloadState.NOT_FOUND), why
        return WorkloadFacts(WorkloadState.LIVE, status.workload_uid), why

    async def _static(
        self, task: PackedTask, facts: TaskFacts
    ) -> tuple[tuple[StaticSecretFacts, ...], Blocked | None]:
        ends = facts.deleting or (facts.spec is not None and facts.spec.state is DesiredState.ENDED)
        if ends or task.standing is Standing.OVER:
            # It need not wait for what is read here.
            return (), None
        started = facts.status.start_time is not None
        return await self._static_secrets.facts(task.static_secrets, started=started)

    async def _pods(self, record: Record, task: PackedTask) -> tuple[PodFacts, ...]:
        pods = list(record.pods.values())
        if task.workload is not None:
            for each in pods:
                if each.owner is not None and not each.facts.controllers:
                    chain = await self._owners.chain(task.namespace, each.owner)
                    each.facts = replace(each.facts, controllers=chain)
        # One that came meanwhile, its owner not looked at, is for the next pass.
        return tuple(each.facts for each in pods)


def _log_unreadable_status(record: Record, task: TaskFacts) -> None:
    """Log once that, and why, a task is left alone."""
    if task.status_invalid is not None and task.status_invalid != record.status_invalid:
        _log.error(
            "status cannot be read; the task is left as it is",
            namespace=task.namespace,
            task=task.name,
            uid=task.uid,
            problem=task.status_invalid,
        )
    record.status_invalid = task.status_invalid
