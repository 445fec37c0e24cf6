"""A question as Cedar reads it: entities, context and what approvals there are, made once for both layers.

What does not change from call to call is made once for all of them (`Frame`).
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from agentid.policy import encoding
from agentid.policy.encoding import Json
from agentid.policy.question import Consent, Question, Use
from agentid.policy.times import Moments
from agentid.policy.vocabulary import LABELS, PARAMETERS, TIME_ATTRIBUTES, Action

_PARAMETERS: Final = {"type": PARAMETERS, "id": "call"}


@dataclass(frozen=True, slots=True)
class Request:
    """A question as Cedar reads it. `entities` are made once, the context anew for each supposed consent.

    Attributes:
        principal: Type and id of the Agent.
        action: Type and id of the action.
        resource: Type and id of the task.
        entities: The entities as JSON.
        context: The context without consent.
        consent: What approvals there are.
        moments: The times that a rule can compare the clock with.
        facts_members: How many members the largest set has, but for those of consent.
    """

    principal: dict[str, str]
    action: dict[str, str]
    resource: dict[str, str]
    entities: str
    context: Json
    consent: Consent
    moments: Moments
    facts_members: int

    @property
    def size(self) -> int:
        """Bytes of all that is asked but for consent."""
        return len(self.entities.encode()) + len(encoding.dumps(self.context).encode())

    @property
    def members(self) -> int:
        """How many members the largest set has."""
        return max(self.facts_members, len(self.consent.approvers), len(self.consent.groups))

    def as_cedar(self) -> dict[str, str | dict[str, str]]:
        """Return it in the form in which cedarpy takes a request."""
        return {
            "principal": self.principal,
            "action": self.action,
            "resource": self.resource,
            "context": encoding.dumps(self.context | _consented(self.consent)),
        }

    def with_consent(self, consent: Consent) -> "Request":
        """Return the same request with other approvals."""
        return replace(self, consent=consent)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a question says whenever it is asked, and about whichever call: all but the clock and the call.

    Attributes:
        action: What is to be decided.
        principal: Type and id of the Agent.
        resource: Type and id of the task.
        entities: The entities as JSON, but for the parameters of a call.
        context: The context without consent, clock and call.
        consent: What approvals there are.
        moments: The times that a rule can compare the clock with.
        members: How many members the largest set has, but for those of consent.
    """

    action: Action
    principal: dict[str, str]
    resource: dict[str, str]
    entities: str
    context: Json
    consent: Consent
    moments: Moments
    members: int

    def request(self, now: datetime, use: Use | None) -> Request:
        """Return the question as it is asked at `now`, of `use` about that call."""
        context = self.context | encoding.clock(now.astimezone(UTC))
        entities = self.entities
        if use is not None:
            context |= _call(use)
            entities = f"{entities[:-1]},{call_entities(use)[1:]}"
        return Request(
            self.principal,
            {"type": "Action", "id": self.action},
            self.resource,
            entities,
            context,
            self.consent,
            self.moments,
            self.members,
        )

    def brief(self, now: datetime, use: Use, reads: frozenset[str]) -> dict[str, str | dict[str, str]]:
        """Return it in the form in which cedarpy takes a request, with what is read of the context only."""
        told = self.context | _consented(self.consent) | _call(use)
        if not TIME_ATTRIBUTES.isdisjoint(reads):
            told |= encoding.clock(now.astimezone(UTC))
        return {
            "principal": self.principal,
            "action": {"type": "Action", "id": self.action},
            "resource": self.resource,
            "context": encoding.dumps({name: told[name] for name in reads if name in told}),
        }


def request(question: Question) -> Request:
    """Return `question` as Cedar reads it."""
    return frame(question).request(question.now, question.use)


def frame(question: Question) -> Frame:
    """Return what stays of `question` when it is asked at another time, and about another call."""
    principal = {"type": "Agent", "id": f"{question.namespace}/{question.task.agent_ref.name}"}
    resource = {"type": "Task", "id": question.task_uid}
    cluster, namespace = {"type": LABELS, "id": "cluster"}, {"type": LABELS, "id": "namespace"}
    environment = question.environment
    entities: list[JsonValue] = [
        encoding.entity(principal, attrs=encoding.agent(question)),
        encoding.entity(resource, attrs=encoding.task(question)),
        encoding.entity(cluster, tags=dict(environment.cluster_labels)),
        encoding.entity(namespace, tags=dict(environment.namespace_labels)),
    ]
    context: Json = {
        **encoding.people(question),
        "breakGlass": question.break_glass,
        "environment": {
            "trustDomain": environment.trust_domain,
            "clusterLabels": {"__entity": dict(cluster)},
            "namespaceLabels": {"__entity": dict(namespace)},
        },
        **encoding.pod(question),
    }
    if question.secret is not None:
        context["secret"] = {"name": question.secret.name, "maxTTLSeconds": question.secret.max_ttl_seconds}
    if question.audience is not None:
        context["audience"] = question.audience
    return Frame(
        question.action,
        principal,
        resource,
        encoding.dumps(entities),
        context,
        Consent.of(question.approvers),
        {("principal", "reviewBy"): question.agent.review_by},
        max(encoding.members(entities), encoding.members(context)),
    )


def call_entities(use: Use) -> str:
    """Return the entities of a call as JSON: its parameters."""
    tags = {name: encoding.parameter(value) for name, value in (use.parameters or {}).items()}
    return encoding.dumps([encoding.entity(dict(_PARAMETERS), tags=tags)])


def _call(use: Use) -> Json:
    return {
        **encoding.given(operation=use.operation, target=use.target, tool=use.tool, session=use.session),
        "parameters": {"__entity": dict(_PARAMETERS)},
    }


def _consented(given: Consent) -> Json:
    return {
        "approved": given.approved,
        "approvals": given.approvals,
        "approvers": encoding.strings(given.approvers),
        "approverGroups": encoding.strings(given.groups),
    }
