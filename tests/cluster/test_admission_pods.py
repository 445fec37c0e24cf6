"""Which task a pod belongs to, which Secrets it may refer to, and what a labelled pod is given."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster.people import People, pod, refusal

TASK = "refund-4711"
OWN = f"agentid-{TASK}"
EVERYBODY = ["tenant", "stranger", "operator", "admin"]
FOLDER = "/var/run/secrets/agentid.dev"
MOUNT = {"name": "agentid-credential", "mountPath": FOLDER, "readOnly": True}
ENVIRONMENT = {"name": "SPIFFE_CREDENTIAL_FOLDER", "value": FOLDER}


@pytest.fixture(autouse=True)
def service_account(kubectl: Kubectl) -> None:
    """Pods need the account that the controller manager makes in each namespace."""
    kubectl.wait_for("serviceaccount", "default", bool)


def several(manifests: list[Object]) -> str:
    """Several objects as one file, so that one kubectl sends them all."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def container(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    return {"name": "agent", "image": "agent", **parts}


def relabel(value: str | None) -> dict[str, Any]:
    return {"metadata": {"labels": {"agentid.dev/task": value}}}


# The label.


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize(
    ("before", "after"), [(None, TASK), (TASK, "other"), (TASK, None)], ids=["added", "changed", "removed"]
)
def test_the_label_of_a_pod_stays(people: People, person: str, before: str | None, after: str | None) -> None:
    people.tenant.create(pod("p", before))
    liar = people.named(person)

    replaced = people.admin.get("pod", "p")
    replaced["metadata"]["labels"] = {"agentid.dev/task": after}

    attempts: list[Callable[[], object]] = [
        lambda: liar.patch("pod", "p", relabel(after)),
        lambda: liar.patch("pod", "p", relabel(after), "--subresource=status"),
    ]
    if before is None:
        attempts += [
            lambda: liar("label", "pod", "p", f"agentid.dev/task={after}"),
            lambda: liar.replace(replaced),
            lambda: liar.apply(pod("p", after), "--server-side", "--force-conflicts"),
        ]
    for attempt in attempts:
        said = refusal(attempt)
        assert "label agentid.dev/task can't be added, changed or removed during a pod's life" in said
    assert people.admin.get("pod", "p")["metadata"].get("labels", {}).get("agentid.dev/task") == before


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_binding_sets_no_label(people: People, person: str) -> None:
    people.tenant.create(pod("p", schedulerName="nobody"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "labels": {"agentid.dev/task": TASK}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "somewhere"},
    }

    for path in ("pods/p/binding", "bindings"):
        url = f"--raw=/api/v1/namespaces/{people.admin.namespace}/{path}"
        said = refusal(
            lambda url=url: people.named(person)("create", url, "--filename=-", stdin=json.dumps(binding))
        )
        assert "label agentid.dev/task can't be set by a binding" in said
    assert "labels" not in people.admin.get("pod", "p")["metadata"]


def test_a_binding_without_the_label_binds(people: People) -> None:
    people.tenant.create(pod("p", TASK, schedulerName="nobody"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "labels": {"topology.kubernetes.io/zone": "a"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "somewhere"},
    }
    url = f"--raw=/api/v1/namespaces/{people.admin.namespace}/pods/p/binding"

    people.admin("create", url, "--filename=-", stdin=json.dumps(binding))

    assert people.admin.get("pod", "p")["metadata"]["labels"]["agentid.dev/task"] == TASK


def test_other_labels_change_freely(people: People) -> None:
    people.tenant.create(pod("p", TASK))

    people.tenant("label", "pod", "p", "app=a")
    people.tenant.patch("pod", "p", {"metadata": {"labels": {"and": "b"}}}, "--subresource=status")

    labels = people.admin.get("pod", "p")["metadata"]["labels"]
    assert labels == {"agentid.dev/task": TASK, "app": "a", "and": "b"}


@pytest.mark.parametrize("value", ["", "Refund", "refund_4711", "refund..4711", "-"])
def test_a_label_that_names_no_task_is_refused(people: People, value: str) -> None:
    manifest = pod("p", TASK)
    manifest["metadata"]["labels"]["agentid.dev/task"] = value

    for person in EVERYBODY:
        somebody = people.named(person)
        refused = refusal(lambda s=somebody: s.create(manifest, "--dry-run=server"))
        assert "agentid.dev/task" in refused or "metadata.labels" in refused


# References to Secrets.


def in_volume(name: str) -> Mapping[str, Any]:
    return {"volumes": [{"name": "v", "secret": {"secretName": name}}]}


def in_projection(name: str) -> Mapping[str, Any]:
    sources = [{"configMap": {"name": "c"}}, {"secret": {"name": name}}]
    return {"volumes": [{"name": "e", "emptyDir": {}}, {"name": "v", "projected": {"sources": sources}}]}


def in_variable(name: str) -> Mapping[str, Any]:
    reference = {"secretKeyRef": {"name": name, "key": "tls.key"}}
    return {"containers": [container(env=[{"name": "K", "valueFrom": reference}])]}


def in_environment(name: str) -> Mapping[str, Any]:
    return {"containers": [container(envFrom=[{"secretRef": {"name": name}}])]}


def in_init_variable(name: str) -> Mapping[str, Any]:
    part = in_variable(name)["containers"][0]
    return {"containers": [container()], "initContainers": [part | {"name": "init"}]}


def in_init_environment(name: str) -> Mapping[str, Any]:
    part = in_environment(name)["containers"][0]
    return {"containers": [container()], "initContainers": [part | {"name": "init"}]}


WAYS = [in_volume, in_projection, in_variable, in_environment, in_init_variable, in_init_environment]


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_pod_refers_to_the_secret_of_its_own_task_only(people: People, person: str) -> None:
    somebody = people.named(person)
    stolen = [
        pod(f"{way.__name__}-{number}".replace("_", "-"), label, **way(name))
        for way in WAYS
        for number, (label, name) in enumerate(
            [(None, OWN), ("other", OWN), (TASK, "agentid-x"), (None, "agentid-x")]
        )
    ]
    own = [
        pod(f"{way.__name__}-{number}".replace("_", "-"), label, **way(name))
        for way in WAYS
        for number, (label, name) in enumerate([(TASK, OWN), (None, "agent-secret"), (TASK, "legacy")])
    ]

    said = refusal(lambda: somebody.create(several(stolen), "--dry-run=server"))

    assert said.count("secret-references.agentid.dev' with binding") == len(stolen)
    assert said.count("label agentid.dev/task allows this pod Secret agentid-other and no other") == len(WAYS)
    assert said.count("only a pod with the label agentid.dev/task: <name of the task> may refer") == 2 * len(
        WAYS
    )
    assert len(
        somebody("create", "--filename=-", "--dry-run=server", stdin=several(own)).splitlines()
    ) == len(own)


DRIVEN: list[dict[str, Any]] = [
    {"azureFile": {"secretName": OWN, "shareName": "s"}},
    {"cephfs": {"monitors": ["m"], "secretRef": {"name": OWN}}},
    {"cinder": {"volumeID": "v", "secretRef": {"name": OWN}}},
    {"csi": {"driver": "d.example.com", "nodePublishSecretRef": {"name": OWN}}},
    {"flexVolume": {"driver": "a/b", "secretRef": {"name": OWN}}},
    {
        "iscsi": {
            "targetPortal": "t",
            "iqn": "iqn.2001-04.com.example:a",
            "lun": 0,
            "secretRef": {"name": OWN},
        }
    },
    {"rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": OWN}}},
    {"scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": OWN}}},
    {"storageos": {"volumeName": "v", "secretRef": {"name": OWN}}},
]


@pytest.mark.parametrize("volume", DRIVEN, ids=lambda volume: next(iter(volume)))
def test_no_volume_driver_is_given_a_credential(people: People, volume: dict[str, Any]) -> None:
    volumes = [{"name": "v", **volume}]

    said = refusal(lambda: people.tenant.create(pod("p", TASK, volumes=volumes), "--dry-run=server"))

    assert "a volume driver can't be given a Secret that starts with agentid-" in said


def test_no_credential_is_a_registry_password(people: People) -> None:
    spec = {"imagePullSecrets": [{"name": OWN}]}

    assert "imagePullSecrets" in refusal(lambda: people.tenant.create(pod("p", TASK, **spec)))


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize("way", [in_variable, in_environment])
def test_an_ephemeral_container_refers_to_no_other_credential(people: People, person: str, way: Any) -> None:  # noqa: ANN401 - a function
    people.tenant.create(pod("plain"))
    part = way(OWN)["containers"][0] | {"name": "debugger"}
    patch = {"spec": {"ephemeralContainers": [part]}}

    said = refusal(
        lambda: people.named(person).patch(
            "pod", "plain", patch, "--subresource=ephemeralcontainers", kind_of_patch="strategic"
        )
    )

    assert "only a pod with the label" in said


def test_ephemeral_containers_are_possible(people: People) -> None:
    people.tenant.create(pod("plain"))
    patch = {"spec": {"ephemeralContainers": [container(name="debugger")]}}

    patched = people.tenant.patch(
        "pod", "plain", patch, "--subresource=ephemeralcontainers", kind_of_patch="strategic"
    )

    assert [each["name"] for each in patched["spec"]["ephemeralContainers"]] == ["debugger"]


# What a labelled pod is given.


def credential_volumes(created: Object) -> list[dict[str, Any]]:
    return [each for each in created["spec"].get("volumes", []) if "secret" in each]


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_labelled_pod_is_given_its_credential(people: People, person: str) -> None:
    spec = {
        "containers": [
            container(name="bare"),
            container(name="full", env=[{"name": "A", "value": "b"}], volumeMounts=[]),
            container(name="data", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
        ],
        "initContainers": [container(name="first"), container(name="sidecar", restartPolicy="Always")],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }

    created = people.named(person).create(pod("p", TASK, **spec), "--dry-run=server")

    assert credential_volumes(created) == [
        {
            "name": "agentid-credential",
            "secret": {"secretName": OWN, "defaultMode": 0o444, "optional": False},
        }
    ]
    everything = created["spec"]["containers"] + created["spec"]["initContainers"]
    assert len(everything) == 5
    for each in everything:
        assert each["volumeMounts"].count(MOUNT) == 1, each["name"]
        assert each["env"].count(ENVIRONMENT) == 1, each["name"]
    assert {"name": "A", "value": "b"} in created["spec"]["containers"][1]["env"]
    assert {"name": "data", "mountPath": "/data"} in created["spec"]["containers"][2]["volumeMounts"]


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_pod_without_the_label_is_given_nothing(people: People, person: str) -> None:
    created = people.named(person).create(pod("p"), "--dry-run=server")

    assert credential_volumes(created) == []
    assert "env" not in created["spec"]["containers"][0]


def test_a_pod_without_any_volume_or_mount_is_given_its_credential(people: People) -> None:
    created = people.tenant.create(pod("p", TASK, automountServiceAccountToken=False), "--dry-run=server")

    assert [each["name"] for each in created["spec"]["volumes"]] == ["agentid-credential"]
    assert created["spec"]["containers"][0]["volumeMounts"] == [MOUNT]


@pytest.mark.parametrize("way", [in_volume, in_projection])
def test_a_pod_that_brings_its_own_volume_is_left_as_it_is(people: People, way: Any) -> None:  # noqa: ANN401 - a function
    volumes = way(OWN)["volumes"]
    containers = [
        container(name="with", volumeMounts=[{"name": "v", "mountPath": "/credential", "readOnly": True}]),
        container(name="without"),
    ]
    manifest = pod("p", TASK, volumes=volumes, containers=containers, automountServiceAccountToken=False)

    created = people.tenant.create(manifest, "--dry-run=server")

    assert [each["name"] for each in created["spec"]["volumes"]] == [each["name"] for each in volumes]
    assert [each.get("volumeMounts") for each in created["spec"]["containers"]] == [
        containers[0]["volumeMounts"],
        None,
    ]
    assert all("env" not in each for each in created["spec"]["containers"])


def test_what_a_container_says_itself_is_kept(people: People) -> None:
    mounts = [{"name": "own", "mountPath": FOLDER}]
    environment = [{"name": "SPIFFE_CREDENTIAL_FOLDER", "value": "/elsewhere"}]
    spec = {
        "containers": [container(env=environment, volumeMounts=mounts)],
        "volumes": [{"name": "own", "emptyDir": {}}],
        "automountServiceAccountToken": False,
    }

    created = people.tenant.create(pod("p", TASK, **spec), "--dry-run=server")

    assert created["spec"]["containers"][0]["env"] == environment
    assert created["spec"]["containers"][0]["volumeMounts"] == mounts


def test_the_pod_of_a_labelled_job_is_given_its_credential(people: People) -> None:
    template = {
        "metadata": {"labels": {"agentid.dev/task": TASK}},
        "spec": {"restartPolicy": "Never", "containers": [container()]},
    }
    people.tenant.create(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": TASK}, "spec": {"template": template}}
    )

    pods = people.admin.wait_for("job", TASK, lambda job: job.get("status", {}).get("active"))
    assert pods
    (made,) = people.admin.list("pod")

    assert credential_volumes(made)[0]["secret"]["secretName"] == OWN
    assert MOUNT in made["spec"]["containers"][0]["volumeMounts"]


def test_a_job_without_the_right_label_gets_no_pod(people: People) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()], **in_volume(OWN)}}
    people.tenant.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "thief"},
            "spec": {"template": template},
        }
    )

    def refused(event: Object) -> bool:
        return event["reason"] == "FailedCreate" and "may refer to Secrets" in event["message"]

    people.admin.wait_for("job", "thief", lambda _: any(map(refused, people.admin.list("event"))))
    assert people.admin.list("pod") == []
