"""How standing credentials are told: to people in rows with what to do, to programs as JSON."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.printing import shown, span, table
from agentid.cli.standing_secrets import Discovery, Finding

_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"


def as_table(found: Discovery, *, everywhere: bool, wide: bool) -> str:
    """Return a row for each."""
    head = ["NAMESPACE", "SECRET", "KIND", "AGENTS", "PODS", "AGE"]
    head += ["BY", "SERVICE-ACCOUNT", "LAST-USED", "CERTIFICATE"] if wide else []
    rows = [_row(each, found, wide=wide) for each in found.findings]
    return table(head, rows) if everywhere else table(head[1:], [each[1:] for each in rows])


def _row(each: Finding, found: Discovery, *, wide: bool) -> list[str]:
    # Whose a pod is that is known by its label only is not known.
    agents = ",".join(each.agents) or (_UNKNOWN if each.pods or not found.agents_known else _NONE)
    pods = f"{each.pods[0]} +{len(each.pods) - 1}" if len(each.pods) > 1 else "".join(each.pods) or _NONE
    row = [each.namespace, each.secret, each.kind.value, agents, pods, span(each.age)]
    if wide:
        row += [",".join(each.ways), each.account or "", each.last_used or "", each.certificate or ""]
        row[6:] = [cell or _NONE for cell in row[6:]]
    return [shown(cell) for cell in row]


def next_steps(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield what to do, once for all of which the same is to be said, each with their kind."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        alike.setdefault((each.kind.value, each.next), []).append(f"{each.namespace}/{each.secret}")
    for (kind, said), names in alike.items():
        yield kind, f"{', '.join(names)}: {said}"


def summary(found: Discovery, least: timedelta, place: str) -> str:
    """Say how many there are, and what was looked at."""
    younger = f"; {found.younger} that agents use are younger than {span(least)}" if found.younger else ""
    return (
        f"{len(found.findings)} standing credentials {place}, among {found.secrets} Secrets and {found.pods} "
        f"pods of agents{younger}"
    )


def as_json(found: Discovery) -> JsonValue:
    """Return the same as programs read it."""
    return {
        "at": format_time(found.at),
        "findings": [
            {
                "namespace": each.namespace,
                "name": each.secret,
                "kind": each.kind.value,
                "ageSeconds": int(each.age.total_seconds()),
                "agents": list(each.agents),
                "pods": list(each.pods),
                "by": list(each.ways),
                "serviceAccount": each.account,
                "lastUsed": each.last_used,
                "invalidSince": each.invalid_since,
                "certificate": each.certificate,
                "next": each.next,
            }
            for each in found.findings
        ],
        "younger": found.younger,
        "notKnown": list(found.gaps),
    }
