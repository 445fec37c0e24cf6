"""Two forgeries to be sent as a dry run: what becomes of them shows whether admission is in force.

That a rule is installed as it should be does not say that the API server already (or still) applies it.
"""

from collections.abc import Mapping
from typing import Any, Final

from agentid.api.admission.settings import AdmissionSettings
from agentid.api.names import API_VERSION

_NAME: Final = "agentid-admission-proof"
_FORGED: Final = "forged@agentid.dev"
_ANNOTATION: Final = "kopf.zalando.org/forged"
_TRUTHFUL: Final = ("Forbidden", "Invalid")


def forged_task(namespace: str) -> dict[str, Any]:
    """Return an AgentTask that claims to come from somebody else, to be created as a dry run."""
    task = _task(namespace)
    task["spec"]["requester"] = {
        "username": _FORGED,
        "groups": [_FORGED],
        "podUID": _FORGED,
        "mayDelegate": True,
        "intentGeneration": 7,
    }
    task["spec"]["stateChangedBy"] = {"username": _FORGED}
    return task


def is_corrected(response: Mapping[str, Any], settings: AdmissionSettings, asker: str | None = None) -> bool:
    """Return whether the API server's answer to `forged_task` shows that no forgery gets through.

    Args:
        response: The AgentTask that was answered, or the Status that says why there is none.
        settings: Where the API server stamps, the answer must be the task with who asked as its requester;
            where it can't, the rule about typed requesters must have refused it.
        asker: User name of who asked; None: the operator.
    """
    asker = asker or settings.operator_username
    if not settings.mutating:
        return _refused_by(response, "task-stamp.agentid.dev")
    spec = response.get("spec")
    if response.get("kind") != "AgentTask" or not isinstance(spec, Mapping):
        return False
    requester, changed_by = spec.get("requester"), spec.get("stateChangedBy")
    if not isinstance(requester, Mapping) or changed_by != {"username": asker}:
        return False
    is_whole = _FORGED not in str(requester) and "mayDelegate" not in requester
    return requester.get("username") == asker and is_whole


def refused_task(
    settings: AdmissionSettings, asker: str | None = None, namespace: str | None = None
) -> dict[str, Any]:
    """Return an AgentTask that a validating rule refuses whoever asks, to be created as a dry run.

    Where the API server stamps, `forged_task` shows that mutating rules are applied; this one shows that
    validating rules are. Nothing else is wrong with it, because the API server answers with one refusal only:
    `asker` asks under its own name, as it has to where nothing is stamped; None: the operator, and in its
    own namespace unless another is given.
    """
    task = _task(namespace or settings.operator_namespace)
    task["metadata"]["annotations"] = {_ANNOTATION: "{}"}
    me = {"username": asker or settings.operator_username}
    task["spec"] |= {"requester": me, "stateChangedBy": me}
    return task


def is_refused(response: Mapping[str, Any]) -> bool:
    """Return whether the API server's answer to `refused_task` is the refusal by our rule."""
    return _refused_by(response, "kopf-annotations.agentid.dev")


def _refused_by(response: Mapping[str, Any], policy: str) -> bool:
    return (
        response.get("kind") == "Status"
        and response.get("status") == "Failure"
        and response.get("reason") in _TRUTHFUL
        and f"'{policy}'" in str(response.get("message"))
    )


def _task(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "metadata": {"name": _NAME, "namespace": namespace},
        "spec": {
            "agentRef": {"name": "none"},
            "intent": {"purpose": "Find out whether admission is in force", "actions": ["none"]},
            "state": "Ended",
            # The least that there is, so that no limit of the cluster's refuses it.
            "credential": {"ttlSeconds": 30},
            "activeDeadlineSeconds": 30,
            "startDeadlineSeconds": 1,
        },
    }
