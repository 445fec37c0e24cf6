"""Runs cases against policies: each is decided as the operator would, and compared with what is expected."""

from collections.abc import Callable
from dataclasses import dataclass

from agentid.policy.accept import accept
from agentid.policy.casefile import Case, CaseFile, Given, GivenPerson, object_name
from agentid.policy.decision import Decision, Reason
from agentid.policy.engine import decide
from agentid.policy.layer import Layer
from agentid.policy.load import CLUSTER_LIMIT, NAMESPACE_LIMIT
from agentid.policy.question import Ancestor, Environment, Person, Pod, Question, Secret, Use


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case.

    Attributes:
        name: The case's name.
        decision: What was decided.
        failures: What is otherwise than expected, one sentence each; empty: the case holds.
    """

    name: str
    decision: Decision
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all is as expected."""
        return not self.failures


def run_cases(cases: CaseFile, read: Callable[[str], str]) -> tuple[CaseResult, ...]:
    """Decide each case; `read` returns the text of a policy by its name in the file.

    An object is named like its file, without `.cedar`.

    Raises:
        RefusedPolicyError: a policy is not accepted.
    """
    cluster = _layer("ClusterAgentPolicy", cases.cluster, read)
    namespace = _layer("AgentPolicy", cases.namespace, read)
    return tuple(_run(case, cluster, namespace) for case in cases.cases)


def question(given: Given) -> Question:
    """Return the question that a case puts."""
    pod, secret, use = given.pod, given.secret, given.use
    return Question(
        action=given.ask,
        namespace=given.namespace,
        agent=given.agent,
        task_name=given.name,
        task_uid=given.uid,
        task=given.task,
        requester=_person(given.requester),
        now=given.at,
        environment=Environment(given.trust_domain, given.cluster_labels, given.namespace_labels),
        pod=None if pod is None else Pod(pod.service_account, tuple(pod.images), tuple(pod.running_images)),
        delegator=given.delegator,
        ancestors=tuple(
            Ancestor(each.name, each.uid, each.agent, each.requester) for each in given.ancestors
        ),
        approvers=tuple(_person(each) for each in given.approvers),
        break_glass=given.break_glass,
        audiences=tuple(given.audiences),
        static_secrets=tuple(given.static_secrets),
        secret=None if secret is None else Secret(secret.name, secret.max_ttl_seconds),
        audience=given.audience,
        use=None if use is None else Use(use.operation, use.target, use.tool, use.parameters, use.session),
    )


def _layer(kind: str, files: list[str], read: Callable[[str], str]) -> Layer:
    limit = NAMESPACE_LIMIT if kind == "AgentPolicy" else CLUSTER_LIMIT
    return Layer.of((accept(f"{kind}/{object_name(file)}", read(file)) for file in files), limit=limit)


def _run(case: Case, cluster: Layer, namespace: Layer) -> CaseResult:
    decision = decide(question(case.given), cluster, namespace)
    return CaseResult(case.name, decision, tuple(_failures(case, decision)))


def _failures(case: Case, decision: Decision) -> list[str]:
    failures = []
    found = _outcome(decision)
    if found != case.expect:
        failures.append(f"expected {case.expect}, got {found}: {decision.message}")
    if case.by is not None:
        rules = decision.need.rules if decision.need else decision.determined_by
        names = sorted(rule.rpartition("/")[2] for rule in rules)
        if names != sorted(case.by):
            failures.append(f"expected by {_listed(case.by)}, got by {_listed(names)}")
    if case.approvals is not None and decision.need and decision.need.approvals != case.approvals:
        failures.append(f"expected to need {case.approvals} approvals, got {decision.need.approvals}")
    if decision.reason in {Reason.POLICY_ERROR, Reason.ENGINE_ERROR}:
        failures.append(f"a policy could not be evaluated: {decision.message}")
    return failures


def _outcome(decision: Decision) -> str:
    if decision.allowed:
        return "allow"
    return "approval" if decision.reason is Reason.NEEDS_APPROVAL else "deny"


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)) or "no rule"


def _person(given: GivenPerson) -> Person:
    return Person(given.username, tuple(given.groups))
