"""The hash of what a decision was made on, so that a later change shows."""

import hashlib
from typing import Any, Final

import orjson

from agentid.api.agenttask import (
    AgentTaskSpec,
    CredentialRequest,
    Intent,
    TaskReference,
    TemplateReference,
    Workload,
)
from agentid.api.stamps import Requester

_Projection = dict[str, Any]

VERSION: Final = "v1"


def spec_hash(spec: AgentTaskSpec) -> str:
    """Return `v1:` and the SHA-256, in hexadecimal, over the RFC 8785 form of the projection of `spec`."""
    return hash_of(projection_text(spec))


def projection_text(spec: AgentTaskSpec) -> str:
    """Return what the hash of `spec` is over: its projection in RFC 8785 form, as an approval keeps it."""
    # Of ASCII names, text, truth values and whole numbers, sorted JSON without spaces is that form already.
    return orjson.dumps(_projection(spec), option=orjson.OPT_SORT_KEYS).decode()


def hash_of(text: str) -> str:
    """Return the hash of a projection that is there as text, whatever it says."""
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


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
        parentRef=_reference(spec.parent_ref) if spec.parent_ref else None,
        workload=_workload(spec.workload) if spec.workload else None,
        startDeadlineSeconds=spec.start_deadline_seconds,
        activeDeadlineSeconds=spec.active_deadline_seconds,
        ttlSecondsAfterFinished=spec.ttl_seconds_after_finished,
        credential=_credential(spec.credential),
        staticSecrets=[{"name": each.name} for each in spec.static_secrets] or None,
        breakGlass={"justification": spec.break_glass.justification} if spec.break_glass else None,
        requester=_requester(spec.requester) if spec.requester else None,
        templateRef=_template(spec.template_ref) if spec.template_ref else None,
    )


def _reference(task: TaskReference) -> _Projection:
    return _given(name=task.name, uid=task.uid)


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
        mayDelegate=requester.may_delegate,
        intentGeneration=requester.intent_generation,
    )


def _template(ref: TemplateReference) -> _Projection:
    author = _given(username=ref.author.username, groups=ref.author.groups)
    return _given(name=ref.name, uid=ref.uid, author=author)


def _given(**fields: object) -> _Projection:
    return {name: value for name, value in fields.items() if value is not None}
