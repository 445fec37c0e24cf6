"""The hash of what a decision was made on, so that a later change shows."""

import hashlib
from typing import Any, Final

import orjson

from agentid.api.agenttask import (
    AgentTaskSpec,
    CredentialRequest,
    Intent,
    Requester,
    TemplateReference,
    Workload,
)

_Projection = dict[str, Any]

VERSION: Final = "v1"


def spec_hash(spec: AgentTaskSpec) -> str:
    """Return `v1:` and the SHA-256, in hexadecimal, over the RFC 8785 form of the projection of `spec`."""
    # Of ASCII names, text, truth values and whole numbers, sorted JSON without spaces is that form already.
    canonical = orjson.dumps(_projection(spec), option=orjson.OPT_SORT_KEYS)
    return f"{VERSION}:{hashlib.sha256(canonical).hexdigest()}"


def _projection(spec: AgentTaskSpec) -> _Projection:
    """Return version 1: all of the spec but its state, field by field as it was when version 1 was made.

    A field that an upgrade adds is put in only where it is used (`_given`, or when it differs from its first
    default): the hash of an object that does not use it stays. `requester.intentGeneration` is part of it: a
    change and back is a change, and a suspend is not.
    """
    return _given(
        agentRef={"name": spec.agent_ref.name},
        intent=_intent(spec.intent),
        onBehalfOf=spec.on_behalf_of,
        workload=_workload(spec.workload) if spec.workload else None,
        startDeadlineSeconds=spec.start_deadline_seconds,
        activeDeadlineSeconds=spec.active_deadline_seconds,
        ttlSecondsAfterFinished=spec.ttl_seconds_after_finished,
        credential=_credential(spec.credential),
        staticSecrets=[{"name": each.name} for each in spec.static_secrets] or None,
        requester=_requester(spec.requester) if spec.requester else None,
        templateRef=_template(spec.template_ref) if spec.template_ref else None,
    )


def _intent(intent: Intent) -> _Projection:
    return _given(
        purpose=intent.purpose,
        session=intent.session,
        actions=intent.actions,
        grantable=intent.grantable,
        resources=intent.resources,
        sensitivity=intent.sensitivity.value,
    )


def _workload(workload: Workload) -> _Projection:
    ref = workload.ref
    return _given(
        serviceAccountName=workload.service_account_name,
        ref=_given(apiVersion=ref.api_version, kind=ref.kind, name=ref.name) if ref else None,
        replacement=workload.replacement.value,
    )


def _credential(credential: CredentialRequest) -> _Projection:
    return _given(mode=credential.mode.value, ttlSeconds=credential.ttl_seconds, renew=credential.renew)


def _requester(requester: Requester) -> _Projection:
    return _given(
        username=requester.username,
        groups=requester.groups,
        podUID=requester.pod_uid,
        intentGeneration=requester.intent_generation,
    )


def _template(ref: TemplateReference) -> _Projection:
    author = _given(username=ref.author.username, groups=ref.author.groups)
    return _given(name=ref.name, uid=ref.uid, author=author)


def _given(**fields: object) -> _Projection:
    return {name: value for name, value in fields.items() if value is not None}
