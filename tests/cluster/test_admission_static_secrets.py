"""An AgentSecret is written where the operator looks, by somebody who may read what it hands on."""

import secrets as randomness
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.people import STRANGER, TENANT, People, refusal, task

NOT_HERE = f"an AgentSecret counts in namespace {NAMESPACE} only, where agentid runs"


def agent_secret(name: str = "legacy-crm-key", **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentSecret",
        "metadata": {"name": name},
        "spec": {
            "source": {"secretName": "legacy-crm", "key": "token"},
            "agents": [{"namespace": "support", "name": "refund-agent"}],
            "actions": ["crm:write"],
            **spec,
        },
    }


@pytest.fixture
def name(admin: Kubectl) -> Iterator[str]:
    """A name for an AgentSecret of the operator's namespace; it goes afterwards."""
    name = f"of-a-test-{randomness.token_hex(3)}"
    yield name
    admin.in_namespace(NAMESPACE).delete("agentsecret", name, "--ignore-not-found")


def give_agent_secrets(admin: Kubectl, user: str, *secrets: str) -> Kubectl:
    """Let somebody write AgentSecrets in the operator's namespace, and read these Secrets there."""
    home, api_group = admin.in_namespace(NAMESPACE), {"apiGroup": "rbac.authorization.k8s.io"}
    name = {"name": f"test-{user.partition('@')[0]}"}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": name}
    rules: list[dict[str, Any]] = [
        {"apiGroups": ["agentid.dev"], "resources": ["agentsecrets"], "verbs": ["*"]},
        *(
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [each], "verbs": ["get"]}
            for each in secrets
        ),
    ]
    home.apply(
        [
            role | {"kind": "Role", "rules": rules},
            role
            | {"kind": "RoleBinding"}
            | {"roleRef": {**api_group, "kind": "Role", **name}}
            | {"subjects": [{**api_group, "kind": "User", "name": user}]},
        ]
    )
    person = home.as_user(user)
    wait_until(f"{user} may write AgentSecrets", lambda: person.can_i("create", "agentsecrets"))
    for each in secrets:
        wait_until(f"{user} may read {each}", lambda each=each: person.can_i("get", f"secrets/{each}"))
    return person


@pytest.mark.parametrize("person", ["tenant", "stranger", "operator"])
def test_agent_secret_elsewhere_is_refused_with_where_it_counts(people: People, person: str) -> None:
    said = refusal(lambda: people.named(person).create(agent_secret(), "--dry-run=server"))

    assert NOT_HERE in said


@pytest.mark.parametrize("user", [TENANT, STRANGER])
def test_nobody_hands_on_what_they_may_not_read(admin: Kubectl, name: str, user: str) -> None:
    person = give_agent_secrets(admin, user)

    said = refusal(lambda: person.create(agent_secret(name)))

    assert (
        f"{user} may not hand on what is in Secret legacy-crm of namespace {NAMESPACE}; that takes the right "
        "to get it" in said
    )


def test_right_to_one_secret_is_no_right_to_hand_on_another(admin: Kubectl, name: str) -> None:
    person = give_agent_secrets(admin, "carol@example.com", "legacy-crm")
    person.create(agent_secret(name))

    said = refusal(
        lambda: person.patch(
            "agentsecret", name, {"spec": {"source": {"secretName": "payments", "key": "token"}}}
        )
    )

    assert "carol@example.com may not hand on what is in Secret payments" in said
    person.patch("agentsecret", name, {"spec": {"maxTTLSeconds": 60}})


def test_whom_it_is_for_changes_nobody_who_may_not_read_it(admin: Kubectl, name: str) -> None:
    admin.in_namespace(NAMESPACE).create(agent_secret(name))
    person = give_agent_secrets(admin, "dave@example.com")

    more = [{"namespace": "dave", "name": "daves"}]
    said = refusal(lambda: person.patch("agentsecret", name, {"spec": {"agents": more}}))

    assert "dave@example.com may not hand on what is in Secret legacy-crm" in said
    person.patch("agentsecret", name, {"metadata": {"labels": {"a": "b"}}})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source": {"secretName": "x509-authority", "key": "root.key"}}, "must be another Secret than"),
        ({"source": {"secretName": "agentid-refund-4711", "key": "tls.key"}}, "must be another Secret than"),
        ({"source": {"secretName": "../x", "key": "token"}}, "must be a DNS subdomain"),
        ({"source": {"secretName": "legacy-crm", "key": "a/b"}}, "must be a key of a Secret"),
        ({"source": {"secretName": "legacy-crm", "namespace": "support", "key": "a"}}, "unknown field"),
        ({"agents": []}, "should have at least 1 items"),
        ({"agents": [{"namespace": "a", "name": "b"}] * 2}, "an item stands in this list twice"),
        ({"actions": ["*"]}, "must be an action such as"),
        ({"maxTTLSeconds": 29}, "should be greater than or equal to 30"),
        ({"maxTTLSeconds": 86_401}, "should be less than or equal to 86400"),
    ],
)
def test_agent_secret_that_makes_no_sense_is_refused(
    admin: Kubectl, name: str, spec: dict[str, object], said: str
) -> None:
    home = admin.in_namespace(NAMESPACE)

    assert said in refusal(lambda: home.create(agent_secret(name, **spec), "--dry-run=server"))


@pytest.mark.parametrize("name_of_it", ["tls.key", "Legacy", "a" * 64])
def test_name_that_could_be_another_file_is_refused(admin: Kubectl, name_of_it: str) -> None:
    home = admin.in_namespace(NAMESPACE)

    said = refusal(lambda: home.create(agent_secret(name_of_it), "--dry-run=server"))

    assert "it is the name of a file in each task's pod" in said


def test_what_a_task_asks_for_stays(people: People) -> None:
    people.tenant.create(task(staticSecrets=[{"name": "legacy-crm-key"}]))

    for other in ([{"name": "payment-key"}], None):
        said = refusal(
            lambda other=other: people.tenant.patch(
                "agenttask", "refund-4711", {"spec": {"staticSecrets": other}}
            )
        )
        assert "staticSecrets can't be changed after creation" in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([{"name": "tls.key"}], "must be a DNS label"),
        ([{"name": "a", "namespace": "agentid-system"}], "unknown field"),
        ([{"name": "a"}, {"name": "a"}], "an item stands in this list twice"),
        ([{"name": f"a{number}"} for number in range(9)], "must have at most 8 items"),
    ],
)
def test_task_asks_for_a_few_by_their_names_alone(people: People, asked: list[object], said: str) -> None:
    assert said in refusal(lambda: people.tenant.create(task(staticSecrets=asked), "--dry-run=server"))
