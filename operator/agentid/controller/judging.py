"""Asks the policies that are in force about a task; what goes wrong denies."""

from collections.abc import Mapping

import structlog

from agentid.controller.namespaces import Namespaces
from agentid.controller.policies import Policies
from agentid.lifecycle.model import Judgement, Observation, PolicyAction
from agentid.lifecycle.permission import asks
from agentid.policy.judging import InForce, doubt, judge
from agentid.policy.question import Environment

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
            return doubt(action, f"Denied, as policy could not be asked: {type(error).__name__}")

    def _judged(self, observation: Observation, action: PolicyAction) -> Judgement:
        namespace = observation.task.namespace
        labels = self._namespaces.labels(namespace)
        if labels is None:
            return doubt(action, f"the labels of namespace {namespace} are not known yet")
        in_force = InForce(
            Environment(self._trust_domain, self._cluster_labels, labels),
            self._policies.cluster,
            self._policies.of(namespace),
            self._policies.lost(namespace),
        )
        return judge(observation, action, in_force).judgement
