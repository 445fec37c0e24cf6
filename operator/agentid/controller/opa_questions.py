"""What OPA is asked about a task: the questions by which policy came to allow it, each once."""

from collections.abc import Mapping
from dataclasses import replace

from agentid.controller.judging import question_about
from agentid.controller.namespaces import Namespaces
from agentid.controller.policies import Policies
from agentid.lifecycle.model import Observation, PolicyAction
from agentid.lifecycle.permission import is_resumed_as_another
from agentid.policy.engine import decide
from agentid.policy.question import Environment
from agentid.policy.request import Request, request


class OpaQuestions:
    """Puts questions together as `Judge` does, from the same facts."""

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

    def about(self, observation: Observation) -> tuple[Request, ...]:
        """Return what to ask about a task that policy allows, or would allow once it is approved.

        In that case it reads as if it were approved: what is denied all the same need not be.

        Raises:
            ValueError: policy was not asked about it.
        """
        labels, judgement = self._namespaces.labels(observation.task.namespace), observation.judgement
        if labels is None or judgement is None:
            raise ValueError("policy was not asked about this task")
        environment = Environment(self._trust_domain, self._cluster_labels, labels)
        actions = [judgement.action]
        if is_resumed_as_another(observation):
            actions.append(PolicyAction.ISSUE)
        return tuple(self._request(observation, each, environment) for each in actions)

    def _request(self, observation: Observation, action: PolicyAction, environment: Environment) -> Request:
        question = question_about(observation, action, environment)
        asked = request(question)
        need = decide(question, self._policies.cluster, self._policies.of(question.namespace)).need
        if need is None:
            return asked
        return asked.with_consent(replace(asked.consent, approved=True, approvals=need.approvals))
