"""Gives people single rights, as a platform team would, and waits until they count."""

from collections.abc import Callable
from typing import Any

from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until


def on_tasks(verb: str, *names: str) -> dict[str, Any]:
    """The right `verb` on AgentTasks, limited to `names` if there are any."""
    rule: dict[str, Any] = {"apiGroups": ["agentid.dev"], "resources": ["agenttasks"], "verbs": [verb]}
    return rule | ({"resourceNames": list(names)} if names else {})


def give(kubectl: Kubectl, user: str, rule: dict[str, Any]) -> None:
    """Give a user one right in the namespace."""
    name = f"{rule['verbs'][0]}-{user.partition('@')[0].rpartition(':')[2]}"
    api_group = {"apiGroup": "rbac.authorization.k8s.io"}
    kubectl.apply(
        [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}}
            | {"rules": [rule]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name}}
            | {"roleRef": {**api_group, "kind": "Role", "name": name}}
            | {"subjects": [{**api_group, "kind": "User", "name": user}]},
        ]
    )


def accepted(of: Callable[[], Object]) -> Object:
    """Wait for RBAC to have taken up a right that was given just now, and return what is answered then."""

    def attempt() -> Object:
        try:
            return of()
        except KubectlError as refused:
            if "denied request" not in refused.stderr and "(Forbidden)" not in refused.stderr:
                raise
            return {}

    return wait_until("the right counts", attempt)
