"""Whether admission is in force: each rule as installed, and two forgeries refused."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentid.api.admission import (
    AdmissionSettings,
    Found,
    differences,
    forged_task,
    is_corrected,
    is_refused,
    learned_settings,
    refused_task,
    rule_keys,
    rules,
)
from agentid.api.admission.rules import AdmissionObject
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import TASKS, Resource
from agentid.doctor.finding import Finding, problem, unseen, well
from agentid.doctor.look import Look

RULES: Final = "admission rules"
FORGERY: Final = "admission acts"
_INSTALL: Final = (
    "Install the chart again (helm upgrade), and find out in the audit log who changed it; until then the "
    "operator issues nothing."
)
_TRY_AGAIN: Final = "See to what the message names, then ask again; the operator tries it every minute."


@dataclass(frozen=True, slots=True)
class Tried:
    """What the API server answered to the forged and to the refused AgentTask, and whom it takes us for."""

    asker: str
    forged: Mapping[str, Any]
    refused: Mapping[str, Any]


async def installed_rules(look: Look) -> Found:
    """Return every rule as the API server has it."""

    async def read(kind: str, name: str) -> tuple[tuple[str, str], Mapping[str, Any] | None]:
        rule = AdmissionObject(kind, name, {})
        return (kind, name), await look.find(Resource(rule.api_version, kind, rule.plural), None, name)

    return dict(await asyncio.gather(*(read(kind, name) for kind, name in rule_keys())))


def judge_rules(found: Found, settings: AdmissionSettings) -> list[Finding]:
    """Say for each rule that is not as it should be what is wrong with it."""
    expected = rules(settings)
    wrong = [differences(rule, found.get((rule.kind, rule.name))) for rule in expected]
    findings = [problem(RULES, f"{_without_remedy(each)}.", _INSTALL) for each in wrong if each is not None]
    if findings:
        return findings
    where = ", ".join(settings.watch_namespaces) or "all namespaces"
    kinds = ", ".join(kind.kind for kind in settings.workload_kinds)
    return [
        well(
            RULES,
            f"All {len(expected)} policies and bindings are as this version installs them, for "
            f"{settings.operator_username} in {where}, workloads {kinds}, credentials of at most "
            f"{settings.max_ttl_seconds} s.",
        )
    ]


async def try_forgeries(look: Look, settings: AdmissionSettings) -> list[Finding]:
    """Send both forgeries as dry runs, where tasks are served, and judge the answers."""
    namespace = next(iter(settings.watch_namespaces), settings.operator_namespace)
    asker = await look.who_am_i()
    try:
        tried = Tried(
            asker,
            await look.try_out(TASKS, forged_task(namespace)),
            await look.try_out(TASKS, refused_task(settings, asker, namespace)),
        )
    except ForbiddenError as error:
        return [unseen(FORGERY, f"You may not try it: {error}", _more_rights(namespace))]
    return judge_forgeries(tried, settings, namespace)


def judge_forgeries(tried: Tried, settings: AdmissionSettings, namespace: str) -> list[Finding]:
    """Say whether the API server applies the rules that it has."""
    if _by_rbac(tried.forged):
        refusal = f"You may not try it: {tried.forged.get('message')}."
        return [unseen(FORGERY, refusal, _more_rights(namespace))]
    if _by_others(tried.forged):
        return [unseen(FORGERY, f"It could not be tried: {_answer(tried.forged)}.", _TRY_AGAIN)]
    if not is_corrected(tried.forged, settings, tried.asker):
        said = f"An AgentTask with a forged requester was not corrected: {_answer(tried.forged)}."
        return [problem(FORGERY, said, f"Rules take some seconds to act; if it stays: {_INSTALL}")]
    if _by_others(tried.refused):
        return [unseen(FORGERY, f"It could not be tried: {_answer(tried.refused)}.", _TRY_AGAIN)]
    if not is_refused(tried.refused):
        said = f"An AgentTask that a rule has to refuse was not: {_answer(tried.refused)}."
        return [problem(FORGERY, said, f"Rules take some seconds to act; if it stays: {_INSTALL}")]
    how = "stamped over" if settings.mutating else "refused"
    return [
        well(
            FORGERY, f"A forged requester was {how}, and a forbidden annotation was refused (both dry runs)."
        )
    ]


def settings_told(found: Found, namespace: str | None, account: str) -> AdmissionSettings:
    """Return what the rules say they were installed with, or else the chart's defaults in `namespace`."""
    learned = learned_settings(found)
    return learned or AdmissionSettings(namespace or "agentid-system", account)


def _by_rbac(answer: Mapping[str, Any]) -> bool:
    message = str(answer.get("message"))
    return answer.get("reason") == "Forbidden" and "cannot create resource" in message


def _by_others(answer: Mapping[str, Any]) -> bool:
    """Return whether it is a refusal that says nothing of our rules."""
    if answer.get("kind") != "Status":
        return False
    message = str(answer.get("message"))
    ours = any(f"'{name}'" in message for _, name in rule_keys())
    return answer.get("reason") == "NotFound" or (answer.get("reason") == "Forbidden" and not ours)


def _answer(answer: Mapping[str, Any]) -> str:
    if answer.get("kind") == "Status":
        return str(answer.get("message") or answer.get("reason"))[:300]
    return "it was accepted as it was"


def _more_rights(namespace: str) -> str:
    return (
        f"Ask again as somebody who may create agenttasks in {namespace}; the operator tries it every minute."
    )


def _without_remedy(difference: str) -> str:
    return difference.partition("; install the chart again")[0]
