"""A question as Cedar reads it: entities, context and what approvals there are, made once for both layers."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import orjson
from pydantic import JsonValue

from agentid.api.agent import AgentClass, Sensitivity
from agentid.api.agenttask import Workload
from agentid.policy.question import Consent, Question
from agentid.policy.times import EPOCH, MILLISECOND, Moments
from agentid.policy.vocabulary import LABELS, PARAMETERS, Action

Json = dict[str, JsonValue]
"""A JSON object."""

_WITH_DIGEST: Final = re.compile(r".+@sha256:[0-9a-f]{64}")
_DEFAULT_REGISTRY: Final = "docker.io"


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
        return len(self.entities.encode()) + len(_json(self.context).encode())

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
            "context": _json(self.context | _consented(self.consent)),
        }

    def with_consent(self, consent: Consent) -> "Request":
        """Return the same request with other approvals."""
        return replace(self, consent=consent)

    def digest(self) -> str:
        """Return `sha256:` and the SHA-256 over all that is asked, whatever its order was."""
        return f"sha256:{hashlib.sha256((_json(self.as_cedar()) + self.entities).encode()).hexdigest()}"


def request(question: Question) -> Request:
    """Return `question` as Cedar reads it."""
    now = question.now.astimezone(UTC)
    principal = {"type": "Agent", "id": f"{question.namespace}/{question.task.agent_ref.name}"}
    resource = {"type": "Task", "id": question.task_uid}
    cluster, namespace = {"type": LABELS, "id": "cluster"}, {"type": LABELS, "id": "namespace"}
    parameters = {"type": PARAMETERS, "id": "call"}
    environment = question.environment
    entities: list[JsonValue] = [
        _entity(principal, attrs=_agent(question)),
        _entity(resource, attrs=_task(question)),
        _entity(cluster, tags=dict(environment.cluster_labels)),
        _entity(namespace, tags=dict(environment.namespace_labels)),
    ]
    context: Json = {
        **_people(question),
        **_clock(now),
        "breakGlass": question.break_glass,
        "environment": {
            "trustDomain": environment.trust_domain,
            "clusterLabels": {"__entity": dict(cluster)},
            "namespaceLabels": {"__entity": dict(namespace)},
        },
        **_pod(question),
    }
    if question.secret is not None:
        context["secret"] = {"name": question.secret.name, "maxTTLSeconds": question.secret.max_ttl_seconds}
    if question.audience is not None:
        context["audience"] = question.audience
    if question.use is not None:
        context |= _given(
            operation=question.use.operation, target=question.use.target, tool=question.use.tool
        )
        context["parameters"] = {"__entity": dict(parameters)}
        tags = {name: _parameter(value) for name, value in (question.use.parameters or {}).items()}
        entities.append(_entity(parameters, tags=tags))
    return Request(
        principal,
        {"type": "Action", "id": question.action},
        resource,
        _json(entities),
        context,
        Consent.of(question.approvers),
        {("principal", "reviewBy"): question.agent.review_by},
        max(_members(entities), _members(context)),
    )


def _consented(given: Consent) -> Json:
    return {
        "approved": given.approved,
        "approvals": given.approvals,
        "approvers": _set(given.approvers),
        "approverGroups": _set(given.groups),
    }


def _agent(question: Question) -> Json:
    spec = question.agent
    attrs: Json = {
        "namespace": question.namespace,
        "name": question.task.agent_ref.name,
        "owner": spec.owner,
        "class": AgentClass(spec.agent_class).value,
        "actions": _set(spec.actions),
        "serviceAccounts": _set(spec.service_accounts),
        "maxSensitivity": Sensitivity(spec.max_sensitivity).rank,
        "maxActiveDeadlineSeconds": spec.max_active_deadline_seconds,
        "disabled": spec.disabled,
    }
    return attrs if spec.review_by is None else attrs | {"reviewBy": _moment(spec.review_by)}


def _task(question: Question) -> Json:
    spec = question.task
    return {
        "namespace": question.namespace,
        "name": question.task_name,
        "uid": question.task_uid,
        "purpose": spec.intent.purpose,
        **_given(session=spec.intent.session),
        "actions": _set(spec.intent.actions),
        "grantable": _set(spec.intent.grantable),
        "resources": _set(spec.intent.resources),
        "sensitivity": Sensitivity(spec.intent.sensitivity).rank,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "startDeadlineSeconds": spec.start_deadline_seconds,
        "credential": {
            "mode": spec.credential.mode.value,
            "ttlSeconds": spec.credential.ttl_seconds,
            "renew": spec.credential.renew,
            "audiences": _set(question.audiences),
        },
        "bound": spec.workload is not None,
        **({} if spec.workload is None else {"workload": _workload(spec.workload)}),
        "staticSecrets": _set(question.static_secrets),
        "depth": len(question.ancestors),
    }


def _workload(workload: Workload) -> Json:
    ref = workload.ref
    return _given(
        serviceAccountName=workload.service_account_name,
        apiVersion=ref.api_version if ref else None,
        kind=ref.kind if ref else None,
        name=ref.name if ref else None,
        replacement=workload.replacement.value,
    )


def _people(question: Question) -> Json:
    above = question.ancestors
    people: Json = {
        "requester": {"username": question.requester.username, "groups": _set(question.requester.groups)},
        **_given(delegator=question.delegator),
        "chain": {
            "uids": _set(each.uid for each in above),
            "agents": _set(each.agent for each in above),
            "requesters": _set(each.requester for each in above),
        },
    }
    if above:
        parent = above[0]
        people["parent"] = _given(
            name=parent.name, uid=parent.uid, agent=parent.agent, requester=parent.requester
        )
    return people


def _pod(question: Question) -> Json:
    pod = question.pod
    images = pod.images if pod else ()
    facts: Json = {
        **_given(serviceAccount=pod.service_account if pod else None),
        "images": _set(images),
        "imageRegistries": _set(_registry(each) for each in images),
        "imagesPinned": bool(images) and all(_WITH_DIGEST.fullmatch(each) for each in images),
    }
    if question.action in {Action.RENEW, Action.RESUME, Action.USE}:
        facts["runningImages"] = _set(pod.running_images if pod else ())
    return facts


def _registry(image: str) -> str:
    """Return an image's registry: its first part, if that can be a host (as container runtimes read it)."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host else _DEFAULT_REGISTRY


def _clock(now: datetime) -> Json:
    return {"time": _moment(now), "hour": now.hour, "weekday": now.isoweekday()}


def _moment(moment: datetime) -> Json:
    """Return a time as Cedar takes it: to the millisecond, never later than it is."""
    whole = EPOCH + (moment - EPOCH) // MILLISECOND * MILLISECOND
    return {"__extn": {"fn": "datetime", "arg": f"{whole.isoformat(timespec='milliseconds')[:23]}Z"}}


def _parameter(value: str | int | bool) -> Json:  # noqa: FBT001 - a value that somebody sent
    match value:
        case bool():
            return {"flag": value}
        case int():
            return {"number": value}
        case _:
            return {"text": value}


def _entity(
    uid: dict[str, str], attrs: Json | None = None, tags: Mapping[str, JsonValue] | None = None
) -> Json:
    entity: Json = {"uid": dict(uid), "attrs": attrs or {}, "parents": []}
    return entity if tags is None else entity | {"tags": dict(tags)}


def _set(items: Iterable[str]) -> list[JsonValue]:
    return [*sorted(set(items))]


def _members(value: JsonValue) -> int:
    """Return how many members the largest set in it has."""
    match value:
        case list():
            return max(len(value), *map(_members, value), 0)
        case dict():
            return max(map(_members, value.values()), default=0)
        case _:
            return 0


def _given(**values: str | None) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
