"""The whole examination: every look, in the order in which its findings are read."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentid.api.admission import Found
from agentid.cluster.errors import ApiAnswerError, PassingError
from agentid.doctor import (
    admission,
    authority,
    clocks,
    crl,
    gates,
    ledger,
    leftovers,
    pods,
    policies,
    rights,
    versions,
)
from agentid.doctor.finding import Finding, unseen
from agentid.doctor.look import Look, seen_or_said

_ACCOUNT: Final = "agentid"


async def examine(
    look: Look,
    *,
    namespace: str | None,
    version: str,
    now: Callable[[], datetime],
    elapsed: Callable[[], float],
) -> list[Finding]:
    """Return what there is to say about an installation; it changes nothing.

    Args:
        look: The way to the API server.
        namespace: Where the operator runs; None: as the admission rules say it.
        version: The version of this program.
        now: This machine's clock.
        elapsed: Seconds of a clock that cannot be set.

    Raises:
        ApiAnswerError: the API server cannot be reached.
    """
    server = await look.connection.server_date()
    findings = await seen_or_said(versions.KUBERNETES, lambda: versions.look_at_kubernetes(look))
    findings += await seen_or_said(versions.CRDS, lambda: versions.look_at_crds(look))
    found, rules_unseen = await _rules(look)
    settings = admission.settings_told(found, namespace, _ACCOUNT)
    home = namespace or settings.operator_namespace
    if rules_unseen:
        findings += rules_unseen
    else:
        findings += versions.judge_agentid(version, found)
        findings += admission.judge_rules(found, settings)
        findings += await seen_or_said(admission.FORGERY, lambda: admission.try_forgeries(look, settings))
        findings += await seen_or_said(rights.CHECK, lambda: rights.look_at_rights(look, settings))
    findings += await seen_or_said(
        policies.CHECK, lambda: policies.look_at_policies(look, settings.watch_namespaces)
    )
    findings += await seen_or_said(authority.CHECK, lambda: authority.look_at_authority(look, home, server))
    findings += await seen_or_said(crl.CHECK, lambda: crl.look_at_crls(look, home, server))
    findings += await seen_or_said(ledger.CHECK, lambda: ledger.look_at_ledger(look, home))
    findings += await seen_or_said(pods.CHECK, lambda: pods.look_at_pods(look, settings))
    findings += await seen_or_said(gates.CHECK, lambda: gates.look_at_gates(look, home, settings))
    findings += await seen_or_said(clocks.LEASE, lambda: clocks.look_at_lease(look, home, elapsed))
    findings += await seen_or_said(clocks.CLOCK, lambda: clocks.look_at_clock(look, now))
    findings += await seen_or_said(
        leftovers.CHECK, lambda: leftovers.look_for_leftovers(look, settings.watch_namespaces, server)
    )
    return findings


async def _rules(look: Look) -> tuple[Found, list[Finding]]:
    try:
        return await admission.installed_rules(look), []
    except PassingError:
        raise
    except ApiAnswerError as error:
        said = f"You may not read the rules: {error}"
        remedy = "Ask as somebody who may get policies and bindings of admissionregistration.k8s.io."
        unknown = "What the installation needs is told by the admission rules, which you may not read."
        # For whom the rules are is then not known, so that nothing else could be held against them.
        return {}, [
            unseen(admission.RULES, said, remedy),
            *(unseen(check, unknown, remedy) for check in (admission.FORGERY, rights.CHECK)),
        ]
