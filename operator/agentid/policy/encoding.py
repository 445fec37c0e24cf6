"""What Cedar reads of an Agent, a task, people, a pod, the clock and a call, as JSON."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import orjson
from pydantic import JsonValue

from agentid.api.agent import AgentClass, Sensitivity
from agentid.api.agenttask import Workload
from agentid.policy.question import Question
from agentid.policy.times import EPOCH, MILLISECOND
from agentid.policy.vocabulary import Action

Json = dict[str, JsonValue]
"""A JSON object."""

_WITH_DIGEST: Final = re.compile(r".+@sha256:[0-9a-f]{64}")
_DEFAULT_REGISTRY: Final = "docker.io"


def agent(question: Question) -> Json:
    """Return the attributes of the Agent."""
    spec = question.agent
    attrs: Json = {
        "namespace": question.namespace,
        "name": question.task.agent_ref.name,
        "owner": spec.owner,
        "class": AgentClass(spec.agent_class).value,
        "actions": strings(spec.actions),
        "serviceAccounts": strings(spec.service_accounts),
        "maxSensitivity": Sensitivity(spec.max_sensitivity).rank,
        "maxActiveDeadlineSeconds": spec.max_active_deadline_seconds,
        "disabled": spec.disabled,
    }
    return attrs if spec.review_by is None else attrs | {"reviewBy": _moment(spec.review_by)}


def task(question: Question) -> Json:
    """Return the attributes of the task."""
    spec = question.task
    return {
        "namespace": question.namespace,
        "name": question.task_name,
        "uid": question.task_uid,
        "purpose": spec.intent.purpose,
        **given(session=spec.intent.session),
        "actions": strings(spec.intent.actions),
        "grantable": strings(spec.intent.grantable),
        "resources": strings(spec.intent.resources),
        "sensitivity": Sensitivity(spec.intent.sensitivity).rank,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "startDeadlineSeconds": spec.start_deadline_seconds,
        "credential": {
            "mode": spec.credential.mode.value,
            "ttlSeconds": spec.credential.ttl_seconds,
            "renew": spec.credential.renew,
            "audiences": strings(question.audiences),
        },
        "bound": spec.workload is not None,
        **({} if spec.workload is None else {"workload": _workload(spec.workload)}),
        "staticSecrets": strings(question.static_secrets),
        "depth": len(question.ancestors),
    }


def _workload(workload: Workload) -> Json:
    ref = workload.ref
    return given(
        serviceAccountName=workload.service_account_name,
        apiVersion=ref.api_version if ref else None,
        kind=ref.kind if ref else None,
        name=ref.name if ref else None,
        replacement=workload.replacement.value,
    )


def people(question: Question) -> Json:
    """Return who asks, for whom, and the tasks above."""
    above = question.ancestors
    said: Json = {
        "requester": {"username": question.requester.username, "groups": strings(question.requester.groups)},
        **given(delegator=question.delegator),
        "chain": {
            "uids": strings(each.uid for each in above),
            "agents": strings(each.agent for each in above),
            "requesters": strings(each.requester for each in above),
        },
    }
    if above:
        parent = above[0]
        said["parent"] = given(
            name=parent.name, uid=parent.uid, agent=parent.agent, requester=parent.requester
        )
    return said


def pod(question: Question) -> Json:
    """Return what is said of the pod, or that there is none."""
    where = question.pod
    images = where.images if where else ()
    facts: Json = {
        **given(serviceAccount=where.service_account if where else None),
        "images": strings(images),
        "imageRegistries": strings(_registry(each) for each in images),
        "imagesPinned": bool(images) and all(_WITH_DIGEST.fullmatch(each) for each in images),
    }
    if question.action in {Action.RENEW, Action.RESUME, Action.USE}:
        facts["runningImages"] = strings(where.running_images if where else ())
    return facts


def _registry(image: str) -> str:
    """Return an image's registry: its first part, if that can be a host (as container runtimes read it)."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host else _DEFAULT_REGISTRY


def clock(now: datetime) -> Json:
    """Return what is said of the time, which is UTC."""
    return {"time": _moment(now), "hour": now.hour, "weekday": now.isoweekday()}


def _moment(moment: datetime) -> Json:
    """Return a time as Cedar takes it: to the millisecond, never later than it is."""
    whole = EPOCH + (moment - EPOCH) // MILLISECOND * MILLISECOND
    return {"__extn": {"fn": "datetime", "arg": f"{whole.isoformat(timespec='milliseconds')[:23]}Z"}}


def parameter(value: str | int | bool) -> Json:  # noqa: FBT001 - a value that somebody sent
    """Return a parameter of a call in the record that tells its type."""
    match value:
        case bool():
            return {"flag": value}
        case int():
            return {"number": value}
        case _:
            return {"text": value}


def entity(
    uid: dict[str, str], attrs: Json | None = None, tags: Mapping[str, JsonValue] | None = None
) -> Json:
    """Return an entity as Cedar takes it."""
    found: Json = {"uid": dict(uid), "attrs": attrs or {}, "parents": []}
    return found if tags is None else found | {"tags": dict(tags)}


def strings(items: Iterable[str]) -> list[JsonValue]:
    """Return a set of strings, in one order."""
    return [*sorted(set(items))]


def members(value: JsonValue) -> int:
    """Return how many members the largest set in it has."""
    match value:
        case list():
            return max(len(value), *map(members, value), 0)
        case dict():
            return max(map(members, value.values()), default=0)
        case _:
            return 0


def given(**values: str | None) -> Json:
    """Return those that are there."""
    return {name: value for name, value in values.items() if value is not None}


def dumps(value: object) -> str:
    """Return it as JSON, in one order."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
