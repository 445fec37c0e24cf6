"""Who writes a ClusterAgentPolicy or an AgentPolicy, and what the API server takes as one."""

from collections.abc import Iterator

import pytest

from agentid.api.agentpolicy import MAX_CEDAR_LENGTH
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.people import OPERATOR, People, refusal

pytestmark = pytest.mark.usefixtures("no_operator")  # nobody but the tests writes here as the operator

KINDS = {"ClusterAgentPolicy": "clusteragentpolicies", "AgentPolicy": "agentpolicies"}
CEDAR = "permit (principal, action, resource);\n"
ACCEPTED = {"cedar": CEDAR, "digest": "sha256:" + "0" * 64, "generation": 1, "rules": 1}
STATUS = {"observedGeneration": 1, "accepted": ACCEPTED}
EVERYWHERE = "--all-namespaces"
VERBS = ("create", "update", "patch", "delete", "deletecollection")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of policy."""
    return str(request.param)


@pytest.fixture
def policy(kind: str, namespace: str) -> Object:
    """A policy with a name that no other test has; nothing but dry runs makes a ClusterAgentPolicy last."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": namespace},
        "spec": {"cedar": CEDAR},
    }


def with_spec(policy: Object, spec: object) -> Object:
    return policy | {"spec": spec}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"cedar": ""}, "spec.cedar"),
        ({"cedar": "/" * (MAX_CEDAR_LENGTH + 1)}, f"may not be more than {MAX_CEDAR_LENGTH}"),
        ({"cedar": 5}, "must be of type string"),
        ({}, "spec.cedar: Required value"),
        (None, "spec: Required value"),
        ({"cedar": CEDAR, "rego": "package x"}, 'unknown field "spec.rego"'),
    ],
    ids=["empty", "too long", "a number", "no text", "no spec", "an unknown field"],
)
def test_what_is_no_policy_is_refused(people: People, policy: Object, spec: object, said: str) -> None:
    wrong = {key: value for key, value in with_spec(policy, spec).items() if value is not None}

    assert said in refusal(lambda: people.admin.create(wrong, "--dry-run=server", "--validate=strict"))


def test_a_text_of_the_longest_length_is_taken(people: People, policy: Object) -> None:
    longest = CEDAR + "/" * (MAX_CEDAR_LENGTH - len(CEDAR))

    created = people.admin.create(with_spec(policy, {"cedar": longest}), "--dry-run=server")

    assert created["spec"]["cedar"] == longest


@pytest.mark.parametrize("key", ["kopf.zalando.org/last-handled-configuration", "kopf.dev/x"])
def test_what_could_mislead_the_operator_is_refused(people: People, policy: Object, key: str) -> None:
    forged = policy | {"metadata": policy["metadata"] | {"annotations": {key: "{bad"}}}

    assert f"annotation {key} can not be set" in refusal(
        lambda: people.tenant.create(forged, "--dry-run=server")
    )


@pytest.fixture
def installed(people: People, policy: Object) -> Iterator[Object]:
    """The policy, created with a status that counts for nothing; it goes afterwards."""
    created = people.tenant.create(policy | {"status": STATUS})
    assert "status" not in created
    yield created
    people.admin.delete(policy["kind"], policy["metadata"]["name"])


@pytest.mark.parametrize("person", ["tenant", "stranger", "admin"])
def test_only_the_operator_says_what_is_in_force(people: People, installed: Object, person: str) -> None:
    liar, name = people.named(person), installed["metadata"]["name"]

    for write in (
        lambda: liar.patch(installed["kind"], name, {"status": STATUS}, "--subresource=status"),
        lambda: liar.replace(installed | {"status": STATUS}, "--subresource=status"),
    ):
        said = refusal(write)
        assert f"the status of a policy is written by {OPERATOR} only" in said
        assert "change spec.cedar" in said
    assert "status" not in liar.patch(installed["kind"], name, {"status": STATUS})
    assert "status" not in people.admin.get(installed["kind"], name)


def test_the_operator_says_what_is_in_force(people: People, installed: Object) -> None:
    name = installed["metadata"]["name"]

    written = people.operator.patch(installed["kind"], name, {"status": STATUS}, "--subresource=status")

    assert written["status"] == STATUS
    # What stands beside the status in its write counts for nothing.
    other = {"spec": {"cedar": "// none\n"}, "status": STATUS}
    people.operator.patch(installed["kind"], name, other, "--subresource=status")
    assert people.admin.get(installed["kind"], name)["spec"] == {"cedar": CEDAR}


@pytest.mark.parametrize("digest", ["sha256:0", "md5:" + "0" * 64, "sha256:" + "G" * 64])
def test_a_digest_is_one(people: People, installed: Object, digest: str) -> None:
    wrong = {"status": {"accepted": ACCEPTED | {"digest": digest}}}

    assert "status.accepted.digest" in refusal(
        lambda: people.operator.patch(
            installed["kind"], installed["metadata"]["name"], wrong, "--subresource=status"
        )
    )


def test_the_operators_own_account_changes_no_policy(kubectl: Kubectl, kind: str) -> None:
    operator = kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    resource = f"{KINDS[kind]}.agentid.dev"

    assert [verb for verb in VERBS if operator.can_i(verb, resource, EVERYWHERE)] == []
    assert operator.can_i("watch", resource, EVERYWHERE)
    assert operator.can_i("patch", resource, "--subresource=status", EVERYWHERE)


@pytest.mark.parametrize(
    ("role", "writes"),
    [
        ("agentid-viewer", False),
        ("agentid-editor", False),
        ("edit", False),
        ("agentid-policy-editor", True),
        ("admin", True),
    ],
)
def test_a_namespaces_policies_are_written_by_whom_the_roles_say(
    kubectl: Kubectl,
    role: str,
    writes: bool,  # noqa: FBT001 - parametrized
) -> None:
    tenant = f"{role}-of-policies@example.com"
    kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={tenant}")
    person = kubectl.as_user(tenant)
    resource = "agentpolicies.agentid.dev"
    wait_until("RBAC has taken up the binding", lambda: person.can_i("get", resource))

    assert all(person.can_i(verb, resource) for verb in VERBS) == writes
    assert any(person.can_i(verb, resource) for verb in VERBS) == writes
    assert not person.can_i("patch", resource, "--subresource=status")
    for verb in (*VERBS, "get", "list"):
        assert not person.can_i(verb, "clusteragentpolicies.agentid.dev", EVERYWHERE)
        assert not person.in_namespace("default").can_i(verb, resource)
    if writes:
        manifest = {
            "apiVersion": "agentid.dev/v1alpha1",
            "kind": "AgentPolicy",
            "metadata": {"name": "ours"},
            "spec": {"cedar": CEDAR},
        }
        assert person.create(manifest)["spec"] == {"cedar": CEDAR}
        person.delete("agentpolicy", "ours")
