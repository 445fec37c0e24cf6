"""Whom the command line believes about an installation: pods beside the operator's Lease that agree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.cli.session import session
from agentid.cli.surroundings import CLUSTER_LABELS, Assumed, Surroundings, look_around
from agentid.cli.where import Where
from tests.unit.plain_server import serving

HOME = "agentid-system"
OPA = "what OPA says (it is not asked here)"


def pod(namespace: str, container: str = "operator", **variables: str) -> dict[str, Any]:
    """A pod that has the operator's labels, and these settings."""
    env = [{"name": f"AGENTID_{name}", "value": value} for name, value in variables.items()]
    metadata = {"namespace": namespace, "name": f"agentid-of-{namespace}"}
    return {"metadata": metadata, "spec": {"containers": [{"name": container, "env": env}]}}


def own(domain: str = "example.org", labels: str = '{"region": "eu"}', **more: str) -> dict[str, Any]:
    return pod(HOME, TRUST_DOMAIN=domain, CLUSTER_LABELS=labels, **more)


def posing(**more: str) -> dict[str, Any]:
    return pod("tenant", TRUST_DOMAIN="evil.example", CLUSTER_LABELS='{"region": "tenants"}', **more)


async def seen(
    folder: Path, pods: list[dict[str, Any]], leases: list[str] | None, assumed: Assumed | None = None
) -> Surroundings:
    """What is found where there are these pods, and Leases in these namespaces; None: not to be seen."""
    lists: Mapping[str, list[dict[str, Any]]] = {
        "/api/v1/pods": pods,
        "/apis/coordination.k8s.io/v1/leases": [{"metadata": {"namespace": each}} for each in leases or ()],
    }

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/leases") and leases is None:
            return web.json_response({"reason": "Forbidden", "message": "you may not"}, status=403)
        if request.path.endswith("/leases"):
            assert request.query["fieldSelector"] == "metadata.name=agentid-operator"
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": lists[request.path]})

    async with serving(answer, folder) as kubeconfig, session(Where(kubeconfig)) as here:
        return await look_around(here, [], assumed or Assumed())


@pytest.mark.parametrize("last", [own(), posing()])
@pytest.mark.parametrize("lease", [True, False])
async def test_a_tenants_pod_with_the_operators_labels_is_not_believed(
    tmp_path: Path,
    last: dict[str, Any],
    lease: bool,  # noqa: FBT001 - parametrized
) -> None:
    found = await seen(tmp_path, [own(), posing(), last], [HOME] if lease else None)
    said = " ".join(found.relevant_gaps(frozenset({CLUSTER_LABELS})))
    assert found.trust_domain == ("example.org" if lease else "")
    assert found.cluster_labels == ({"region": "eu"} if lease else {})
    assert ("the cluster's labels: none are assumed" in said) is not lease


async def test_a_lease_of_the_tenants_own_makes_it_unknown_and_no_more(tmp_path: Path) -> None:
    found = await seen(tmp_path, [own(), posing()], ["tenant", HOME])
    assert (found.trust_domain, found.cluster_labels) == ("", {})


async def test_pods_that_agree_are_believed_also_where_no_lease_can_be_seen(tmp_path: Path) -> None:
    beside = pod(HOME, "sidecar", TRUST_DOMAIN="of.another")
    beside["spec"]["containers"] += own()["spec"]["containers"]
    beside["spec"]["containers"].reverse()
    found = await seen(tmp_path, [own(), own(), beside], None)
    assert (found.trust_domain, found.cluster_labels) == ("example.org", {"region": "eu"})
    assert found.gaps == []


@pytest.mark.parametrize("assumed", [None, Assumed("example.org", {})])
async def test_what_opa_says_is_not_known_whatever_policies_read(
    tmp_path: Path, assumed: Assumed | None
) -> None:
    asked = await seen(tmp_path, [own(OPA_URL="https://opa.opa.svc:8181"), own()], [HOME], assumed)
    assert asked.relevant_gaps(frozenset()) == [OPA]
    assert asked.relevant_gaps(frozenset({CLUSTER_LABELS})) == [OPA]

    none = await seen(tmp_path, [own(), posing(OPA_URL="https://opa.opa.svc:8181")], [HOME], assumed)
    assert none.relevant_gaps(frozenset({CLUSTER_LABELS})) == []
