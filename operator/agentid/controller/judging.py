"""Asks the policies that are in force about a task; what goes wrong denies."""

from collections.abc import Mapping

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.lifecycle.model import Judgement, Observation, PolicyAction
from agentid.lifecycle.permission import asks
from agentid.policy.engine import ASK_AGAIN_AFTER
from agentid.policy.judging import InForce, doubt, judge, requests
from agentid.policy.question import Environment
from agentid.policy.request import Request
from agentid.process.trace_context import Attributes
from agentid.process.tracing import span
from agentid.watched.namespaces import Namespaces
from agentid.watched.policies import Policies

_log = structlog.get_logger("agentid.policies")


class Judge:
    """Policy as it is in force, asked about one task at a time."""

    def __init__(
        self,
        policies: Policies,
        namespaces: Namespaces,
        *,
        trust_domain: str,
        cluster_labels: Mapping[str, str],
    ) -> None:
        self._policies = policies
        self._namespaces = namespaces
        self._trust_domain = trust_domain
        self._cluster_labels = cluster_labels

    async def prepare(self, namespace: str) -> None:
        """Have the labels of a namespace known, if it is there, before its tasks are judged.

        What cannot be found out now stays unknown, which denies; an end does not wait for it.
        """
        try:
            await self._namespaces.look_for(namespace)
        except ApiAnswerError as error:
            _log.warning("namespace could not be looked at", namespace=namespace, error=str(error))

    def judge(self, observation: Observation) -> Judgement | None:
        """Return what policy says of the task; None where nothing depends on it. What goes wrong denies."""
        action = asks(observation)
        if action is None:
            return None
        try:
            return self._judged(observation, action)
        except BaseException as error:
            # A pass that fails would leave the credential where it is. A panic of the engine is no Exception.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            _log.exception("policy could not be asked")
            said = f"Denied, as policy could not be asked: {type(error).__name__}"
            return doubt(action, said, observation.now + ASK_AGAIN_AFTER)

    def requests(self, observation: Observation) -> tuple[Request, ...]:
        """Return what policy was asked to come to this judgement, for whoever has a say beside it.

        Where an approval is to be awaited, it reads as if that were given: what is denied all the same need
        not be approved.

        Raises:
            ValueError: policy was not asked, or it is not known what.
        """
        judgement, in_force = observation.judgement, self._in_force(observation.task.namespace)
        if in_force is None or judgement is None:
            raise ValueError("policy was not asked about this task")
        return requests(judge(observation, judgement.action, in_force))

    def _judged(self, observation: Observation, action: PolicyAction) -> Judgement:
        with span("agentid.policy") as traced:
            judgement = self._asked(observation, action)
            traced.set(lambda: _told(judgement))
            return judgement

    def _asked(self, observation: Observation, action: PolicyAction) -> Judgement:
        namespace = observation.task.namespace
        in_force = self._in_force(namespace)
        if in_force is None:
            return doubt(action, f"the labels of namespace {namespace} are not known yet")
        return judge(observation, action, in_force).judgement

    def _in_force(self, namespace: str) -> InForce | None:
        labels = self._namespaces.labels(namespace)
        if labels is None:
            return None
        return InForce(
            Environment(self._trust_domain, self._cluster_labels, labels),
            self._policies.cluster,
            self._policies.of(namespace),
            self._policies.lost(namespace),
        )


def _told(judgement: Judgement) -> Attributes:
    return {
        "agentid.policy.action": judgement.action.value,
        "agentid.policy.allowed": judgement.allowed,
        "agentid.policy.digest": judgement.digest,
        "agentid.policy.in_doubt": judgement.in_doubt,
    }
