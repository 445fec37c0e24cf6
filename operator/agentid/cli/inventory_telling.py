"""How live credentials are told: to people in rows, to programs as JSON."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.holdings import Group, Holding, Inventory, grouped
from agentid.cli.options import By
from agentid.cli.printing import shown, table

_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"


def as_table(found: Inventory, by: By | None, *, everywhere: bool, wide: bool) -> str:
    """Return a row for each task, or for each agent, owner or delegator."""
    head, rows = _groups(found, by) if by else _tasks(found, wide=wide)
    if everywhere or head[0] != "NAMESPACE":
        return table(head, list(rows))
    return table(head[1:], [each[1:] for each in rows])


def _tasks(found: Inventory, *, wide: bool) -> tuple[list[str], Iterator[list[str]]]:
    head = ["NAMESPACE", "TASK", "AGENT", "OWNER", "DELEGATOR", "EXPIRES"]
    if wide:
        head += ["POD", "SERIAL", "GRANTS", "STATIC-SECRETS", "SPIFFE-ID"]
    return head, (_task(found, each, wide=wide) for each in found.holdings)


def _task(found: Inventory, each: Holding, *, wide: bool) -> list[str]:
    owner = found.owner(each) or _UNKNOWN
    row = [each.namespace, each.task, each.agent, owner, each.delegator or _NONE, _when(each.expires)]
    if wide:
        row += [
            each.pod or _NONE,
            ",".join(live.serial for live in each.credentials),
            ",".join(action for grant in each.grants for action in grant.actions) or _NONE,
            ",".join(each.static_secrets) or _NONE,
            each.spiffe_id,
        ]
    return [shown(cell) for cell in row]


def _groups(found: Inventory, by: By) -> tuple[list[str], Iterator[list[str]]]:
    head = [by.value.upper(), "TASKS", "CREDENTIALS", "FIRST-EXPIRES", "LAST-EXPIRES"]
    whose = ["NAMESPACE"] if by is By.AGENT else []
    nobody = _NONE if by is By.DELEGATOR else _UNKNOWN
    return whose + head, (
        [
            *([each.namespace] if whose else []),
            shown(each.of or nobody),
            str(each.tasks),
            str(each.credentials),
            _when(each.first),
            _when(each.last),
        ]
        for each in grouped(found.holdings, by, found.owners)
    )


def _when(moment: datetime | None) -> str:
    return format_time(moment) if moment is not None else _UNKNOWN


def summary(found: Inventory, place: str) -> str:
    """Say how many there are, and when."""
    number = sum(len(each.credentials) for each in found.holdings)
    if not number:
        return f"no such live credentials {place} at {format_time(found.at)}"
    return f"{number} live credentials of {len(found.holdings)} tasks at {format_time(found.at)}"


def as_json(found: Inventory, by: By | None) -> JsonValue:
    """Return the same as programs read it."""
    answer: dict[str, JsonValue] = {"at": format_time(found.at)}
    if by is None:
        answer["tasks"] = [_task_as_json(found, each) for each in found.holdings]
    else:
        answer["by"] = by.value
        answer["groups"] = [_group_as_json(each, by) for each in grouped(found.holdings, by, found.owners)]
    return {**answer, "notKnown": list(found.gaps)}


def _task_as_json(found: Inventory, each: Holding) -> JsonValue:
    return {
        "namespace": each.namespace,
        "name": each.task,
        "uid": each.uid,
        "agent": each.agent,
        "owner": found.owner(each),
        "requester": each.requester,
        "onBehalfOf": each.delegator,
        "spiffeID": each.spiffe_id,
        "pod": each.pod,
        "expires": _time(each.expires),
        "credentials": [
            {"serial": live.serial, "notBefore": _time(live.not_before), "notAfter": _time(live.not_after)}
            for live in each.credentials
        ],
        "grants": [
            {"step": grant.step, "actions": list(grant.actions), "until": _time(grant.until)}
            for grant in each.grants
        ],
        "staticSecrets": list(each.static_secrets),
    }


def _group_as_json(group: Group, by: By) -> JsonValue:
    return {
        **({"namespace": group.namespace} if by is By.AGENT else {}),
        by.value: group.of,
        "tasks": group.tasks,
        "credentials": group.credentials,
        "firstExpires": _time(group.first),
        "lastExpires": _time(group.last),
    }


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment is not None else None
