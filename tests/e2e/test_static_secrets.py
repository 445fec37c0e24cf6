"""A static secret in a running pod: a file beside the credential, which follows a rotation and is emptied."""

from collections.abc import Iterator

import pytest
import yaml

from devcluster.cluster import Cluster
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_pod import OperatorPod
from devcluster.places import CHECKOUT
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.e2e import inside
from tests.e2e.objects import FOLDER, container, pod, task_of_pod

EXAMPLES = CHECKOUT / "deploy" / "examples"
OF_EXAMPLE = "refund-4717"
SOURCE, KEY, NAME = "legacy-crm", "token", "legacy-crm-key"
FIRST, SECOND = "change-me", "changed-by-the-platform-team"
ONE_KEY = "/one-key"
PERMIT = f"""@id("{NAME}")
permit (principal, action == Action::"useSecret", resource) when {{ context.secret.name == "{NAME}" }};
"""


@pytest.fixture(scope="module")
def home(cluster: Cluster, operator_of_session: OperatorPod) -> Iterator[Kubectl]:
    """The operator's namespace, where one Secret may be a source that is looked at each second."""
    of_operator = {"staticSecretSeconds": 1}
    operator_of_session.restart({"staticSecrets": {"sources": [SOURCE]}, "operator": of_operator})
    home = cluster.kubectl.in_namespace(NAMESPACE)
    home.create(
        {
            "apiVersion": "agentid.dev/v1alpha1",
            "kind": "ClusterAgentPolicy",
            "metadata": {"name": NAME},
            "spec": {"cedar": PERMIT},
        }
    )
    yield home
    home(
        "delete",
        f"clusteragentpolicy/{NAME}",
        f"agentsecret/{NAME}",
        f"secret/{SOURCE}",
        "--ignore-not-found",
    )
    operator_of_session.restart()


def one_key() -> Object:
    """A pod that mounts nothing of its task's Secret but the static secret, under a name of its own."""
    items = [{"key": NAME, "path": KEY}]
    volume = {"name": "one", "secret": {"secretName": "agentid-one-key", "items": items}}
    mounted = container(volumeMounts=[{"name": "one", "mountPath": ONE_KEY}])
    return pod("one-key", mounted, volumes=[volume])


def asking(name: str) -> Object:
    """A task like that of the example, for the pod of the same name."""
    intent = {"purpose": "Refund in the old CRM", "actions": ["refunds:create"]}
    asked = {"activeDeadlineSeconds": 900, "staticSecrets": [{"name": NAME}]}
    return task_of_pod(name, intent=intent, **asked)


@pytest.fixture(scope="module")
def place(together: Kubectl, home: Kubectl) -> Kubectl:
    """The example's task and pod, and one that mounts a single key, both running with the first value."""
    source, declared = yaml.safe_load_all((EXAMPLES / "09-static-secret.yaml").read_text())
    declared["spec"]["agents"][0]["namespace"] = together.namespace
    home.apply([source, declared])
    together.apply(EXAMPLES / "10-task-with-static-secret.yaml")
    together.create([asking("one-key"), one_key()])
    inside.running(together, OF_EXAMPLE, "one-key")
    return together


def reads(here: Kubectl, name: str, file: str, value: str) -> None:
    """Wait until a running container finds that value in a file, and see that it never was started again."""
    wait_until(
        f"{file} in pod {name} holds {value!r}",
        lambda: inside.sh(here, name, f"cat {file}"),
        lambda seen: seen == value,
        within=inside.SYNCED,
        every=inside.PAUSE,
    )
    assert not any(inside.restarts(here.get("pod", name)))


def test_value_is_one_more_file_beside_the_credential(place: Kubectl) -> None:
    reads(place, OF_EXAMPLE, f"{FOLDER}/{NAME}", FIRST)
    assert place("logs", OF_EXAMPLE).split() == [str(len(FIRST)), f"{FOLDER}/{NAME}"]
    assert set(inside.sizes(place, OF_EXAMPLE)) >= {NAME, "tls.key", "tls.crt", "ca.crt"}

    reads(place, "one-key", f"{ONE_KEY}/{KEY}", FIRST)
    assert inside.sh(place, "one-key", f"ls {ONE_KEY}").split() == [KEY]


def test_rotated_value_reaches_the_files_of_running_pods_with_a_new_credential(
    place: Kubectl, home: Kubectl
) -> None:
    before = story.serials(story.runs(place, OF_EXAMPLE, inside.STARTED))

    home.patch("secret", SOURCE, {"stringData": {KEY: SECOND}})

    reads(place, OF_EXAMPLE, f"{FOLDER}/{NAME}", SECOND)
    reads(place, "one-key", f"{ONE_KEY}/{KEY}", SECOND)
    rotated = story.runs(place, OF_EXAMPLE, inside.STARTED)
    assert story.conditions(rotated)["CredentialIssued"]["reason"] == "SecretRotated"
    assert story.serials(rotated)[: len(before)] == before, "a mounted file follows later"
    inside.holds(place, OF_EXAMPLE, story.serials(rotated)[-1])


def test_value_is_gone_from_the_files_of_a_pod_that_outlives_its_task(place: Kubectl) -> None:
    for name in (OF_EXAMPLE, "one-key"):
        story.runs(place, name, inside.STARTED)
        place.patch("agenttask", name, {"spec": {"state": "Ended"}})

    inside.emptied(place, OF_EXAMPLE)
    assert inside.sizes(place, OF_EXAMPLE).get(NAME) == 0
    reads(place, "one-key", f"{ONE_KEY}/{KEY}", "")
    for name in (OF_EXAMPLE, "one-key"):
        assert NAME in story.secret_emptied(place, name)["data"]
        place.delete("pod", name, "--grace-period=1")
        story.secret_gone(place, name, inside.STARTED)
        story.ends(place, "Ended", name)
