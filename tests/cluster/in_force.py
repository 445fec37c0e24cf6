"""Waiting until the API server applies the admission rules, some seconds after they are written."""

import secrets
from collections.abc import Callable

from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until

_MARKER = "marker.agentid.test"
_CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _MARKER}}
_BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": _MARKER},
    "spec": {"policyName": _MARKER, "validationActions": ["Deny"]},
}


def _marker_rule(message: str) -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _MARKER},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                        "resourceNames": [_MARKER],
                    }
                ]
            },
            "validations": [{"expression": "false", "message": message}],
        },
    }


def wait_until_in_force(admin: Kubectl) -> None:
    """Wait until every validating rule that was written before this call is applied.

    The API server takes rules up in the order in which they were written: once it applies a marker that is
    written now, it applies the others.
    """
    default = admin.in_namespace("default")
    # Never the same twice: the one before may be applied still when this one is written.
    message = f"marker {secrets.token_hex(4)} is applied"
    default.apply([_marker_rule(message), _BINDING])
    wait_until(
        "the API server applies a new validating rule",
        lambda: answer(lambda: default.create(_CONFIG_MAP, "--dry-run=server")),
        lambda seen: message in seen,
    )
    default.delete("validatingadmissionpolicybinding", _MARKER)
    default.delete("validatingadmissionpolicy", _MARKER)


def wait_until_stamped(admin: Kubectl, namespace: str) -> None:
    """Wait until the mutating rules are applied: tasks are stamped, labelled pods get their volume."""
    here = admin.in_namespace(namespace)
    task = {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": "probe"},
        "spec": {
            "agentRef": {"name": "a"},
            "intent": {"purpose": "Probe", "actions": ["a"]},
            # No cluster's own maxima are less.
            "startDeadlineSeconds": 1,
            "activeDeadlineSeconds": 30,
            "credential": {"ttlSeconds": 30},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"agentid.dev/task": "probe"}},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    }
    for manifest, mark in ((task, "requester"), (pod, "agentid-credential")):
        wait_until(
            f"{mark} is added to an {manifest['kind']}",
            lambda manifest=manifest: answer(lambda: here.create(manifest, "--dry-run=server")),
            lambda seen, mark=mark: mark in seen,
        )


def answer(of: Callable[[], object]) -> str:
    """What was answered, or what the refusal says."""
    try:
        return str(of())
    except KubectlError as refused:
        return str(refused.stderr)
