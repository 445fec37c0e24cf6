"""Who the admission tests act as: a tenant, a stranger, the operator's account, an administrator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
OPERATOR_GROUPS = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
TENANT = "alice@example.com"
STRANGER = "mallory@example.com"
GROUP = "agentid-test:tenants"

EVERYTHING_BUT_SPECIAL_VERBS = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
]
"""All rights on objects, so that admission alone refuses; not `delegate` and `resume`."""


@dataclass(frozen=True, slots=True)
class People:
    """kubectl in the test's namespace, as each kind of person.

    Attributes:
        tenant: Somebody with every right on the namespace's objects.
        stranger: Somebody else with the same rights, who has nothing to do with the tenant's tasks.
        operator: The operator's account, here with every right too: admission alone holds it.
        admin: A member of system:masters.
    """

    tenant: Kubectl
    stranger: Kubectl
    operator: Kubectl
    admin: Kubectl

    def named(self, name: str) -> Kubectl:
        """Whom a parametrized test acts as."""
        person: Kubectl = getattr(self, name)
        return person


def give_every_right(admin: Kubectl) -> None:
    """Give the group of the tests every right on all objects, once in a cluster."""
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    name = {"name": "agentid-test-everything"}
    admin.apply(
        [
            {
                **rbac,
                "kind": "ClusterRole",
                "metadata": name,
                "rules": [
                    {"apiGroups": ["*"], "resources": ["*"], "verbs": EVERYTHING_BUT_SPECIAL_VERBS},
                ],
            },
            {
                **rbac,
                "kind": "ClusterRoleBinding",
                "metadata": name,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **name},
                "subjects": [{"kind": "Group", "name": GROUP, "apiGroup": "rbac.authorization.k8s.io"}],
            },
        ]
    )
    tenant = admin.as_user(TENANT, [GROUP])
    wait_until("RBAC has taken up the rights of the tests", lambda: tenant.can_i("delete", "secrets"))


def everybody(admin: Kubectl, namespace: str) -> People:
    """Return how to act as each of them in `namespace`, once `give_every_right` has been called."""
    here = admin.in_namespace(namespace)
    return People(
        tenant=here.as_user(TENANT, [GROUP]),
        stranger=here.as_user(STRANGER, [GROUP]),
        operator=here.as_user(OPERATOR, [*OPERATOR_GROUPS, GROUP]),
        admin=here,
    )


def refusal(of: Callable[[], object]) -> str:
    """What kubectl says when it is refused; a failed test when it is not."""
    with pytest.raises(KubectlError) as caught:
        of()
    return str(caught.value.stderr)


def task(name: str = "refund-4711", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    """An AgentTask as a tenant writes it, with `spec` over its few lines."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": name},
        "spec": {
            "agentRef": {"name": "refund-agent"},
            "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"]},
            **spec,
        },
    }


def pod(name: str, task_name: str | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A pod with one container, labelled for a task if one is named."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"agentid.dev/task": task_name} if task_name else {}},
        "spec": {"containers": [{"name": "agent", "image": "agent"}], **spec},
    }
