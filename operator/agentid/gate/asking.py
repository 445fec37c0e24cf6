"""Asks the policies in force whether a task's identity may be used for a call; what goes wrong denies.

What stays the same from call to call is made ready once: the question about a task, until anything it is made
of is another one.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from agentid.gate.known_task import KnownTask
from agentid.gate.question import Call
from agentid.gate.view import View
from agentid.lifecycle.model import AgentFacts, PodFacts
from agentid.lifecycle.wording import names
from agentid.policy.calls import decide_call
from agentid.policy.decision import Decision, Reason
from agentid.policy.prepared import Prepared, prepare_for_calls
from agentid.policy.question import Ancestor, Environment, Person, Pod, Question, Use
from agentid.policy.vocabulary import Action

_log = structlog.get_logger("agentid.gate")

MAX_READY: Final = 10_000
"""Questions that are kept ready, some 24 kB each; of more tasks, one is made anew when it is asked."""

_Made = tuple[KnownTask, KnownTask, AgentFacts, PodFacts | None, Mapping[str, str]]
"""What a question was made of."""


class Asking:
    """Policy, asked about one call at a time."""

    def __init__(
        self, view: View, *, trust_domain: str, cluster_labels: Mapping[str, str], max_ready: int = MAX_READY
    ) -> None:
        self._view = view
        self._trust_domain = trust_domain
        self._cluster_labels = cluster_labels
        self._max_ready = max_ready
        self._ready: OrderedDict[str, tuple[_Made, Prepared]] = OrderedDict()

    def decide(self, task: KnownTask, holder: KnownTask, call: Call, now: datetime) -> Decision:
        """Return what policy says of a call, at `now`, with the identity of `holder`.

        Args:
            task: The task whose action it is: `holder` itself, or a live step of it.
            holder: The task whose identity is used, which is done in a pod.
            call: What is to be done.
            now: The time of the decision, aware.
        """
        namespace = task.namespace
        if lost := self._view.policies.lost(namespace):
            # What they forbid is not known, so that nothing is permitted by the others.
            return _doubt(
                f"Denied, as the accepted text of {names(lost)} cannot be read by this version of agentid.",
                now,
            )
        try:
            prepared = self._prepared(task, holder, now)
        except BaseException as error:
            # A panic of the engine is no Exception; only what ends the process itself passes.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            _log.exception("policy could not be asked", namespace=namespace, task=task.name)
            return _doubt(f"Denied, as policy could not be asked: {type(error).__name__}", now)
        use = Use(call.action, call.resource, call.tool, call.parameters, call.session)
        policies = self._view.policies
        return decide_call(prepared, now, use, policies.cluster, policies.of(namespace))

    def _prepared(self, task: KnownTask, holder: KnownTask, now: datetime) -> Prepared:
        made = self._facts(task, holder)
        found = self._ready.get(task.uid)
        if found is not None and all(old is new for old, new in zip(found[0], made, strict=True)):
            self._ready.move_to_end(task.uid)
            return found[1]
        prepared = prepare_for_calls(self._question(made, now))
        self._ready[task.uid] = made, prepared
        if len(self._ready) > self._max_ready:
            self._ready.popitem(last=False)
        return prepared

    def _facts(self, task: KnownTask, holder: KnownTask) -> _Made:
        agent = self._view.agent(task.namespace, task.agent)
        labels = self._view.labels(task.namespace)
        if agent is None:
            raise ValueError(f"there is no Agent {task.namespace}/{task.agent}")
        if labels is None:
            raise ValueError(f"the labels of namespace {task.namespace} are not known")
        pod = self._view.pod(holder.bound.uid) if holder.bound is not None else None
        return task, holder, agent, pod, labels

    def _question(self, made: _Made, now: datetime) -> Question:
        """Return what policy is asked about a task; of a step it is asked as if it were in its parent's pod.

        Raises:
            ValueError: it is not known who asked for the task, or it cannot be read.
        """
        task, holder, agent, pod, labels = made
        asked = task.asked()
        spec, decision, asker = asked.spec, asked.decision, asked.spec.asker
        if asker is None or agent.spec is None:
            raise ValueError("it is not known who asked for the task, or the Agent cannot be read")
        if holder is not task:
            spec = spec.model_copy(update={"workload": holder.asked().spec.workload})
        chain = asked.delegation.chain if asked.delegation is not None else []
        return Question(
            action=Action.USE,
            namespace=task.namespace,
            agent=agent.spec,
            task_name=task.name,
            task_uid=task.uid,
            task=spec,
            requester=Person(asker.username, tuple(asker.groups)),
            now=now,
            environment=Environment(self._trust_domain, self._cluster_labels, labels),
            pod=None if pod is None else Pod(pod.service_account, pod.images, pod.running_images),
            delegator=asked.delegation.delegator if asked.delegation is not None else spec.on_behalf_of,
            ancestors=tuple(Ancestor(each.name, each.uid, each.agent, each.requester) for each in chain),
            approvers=tuple(Person(each) for each in decision.approvers) if decision is not None else (),
            break_glass=spec.break_glass is not None,
            static_secrets=tuple(each.name for each in spec.static_secrets),
        )


def _doubt(message: str, now: datetime) -> Decision:
    return Decision(allowed=False, reason=Reason.ENGINE_ERROR, message=message, layers=(), at=now)
