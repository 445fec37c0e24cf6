"""A pod with nothing but the label finds its credential in each container, whoever it runs as."""

import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.people import refusal
from tests.e2e import inside
from tests.e2e.objects import FOLDER, RESTRICTED, container, job, pod, task_of_pod

OWN_FOLDER = "/identity"
MINE = {"name": "mine", "secret": {"secretName": "agentid-own-volume"}}
FILES = {"tls.crt", "tls.key", "ca.crt", "credential-bundle.private-key.pem"}
SAYS_KEY = "test -s $SPIFFE_CREDENTIAL_FOLDER/tls.key && cat $SPIFFE_CREDENTIAL_FOLDER/tls.key"
SECURITY: dict[str, dict[str, Any]] = {
    "root": {"runAsUser": 0},
    "user-1000": {"runAsUser": 1000, "runAsNonRoot": True},
    "read-only-root": {"readOnlyRootFilesystem": True},
    "user-1000-read-only-root": {"runAsUser": 1000, "runAsNonRoot": True, "readOnlyRootFilesystem": True},
}


def several_containers() -> Object:
    """A pod of two containers, after one that ends and one that stays beside them."""
    before = container("sh", "-c", SAYS_KEY, name="before")
    beside = container(name="beside", restartPolicy="Always")
    return pod("several", container(), container(name="second"), initContainers=[before, beside])


def own_volume() -> Object:
    """A pod that mounts the Secret itself, somewhere else."""
    mounted = container(volumeMounts=[{"name": "mine", "mountPath": OWN_FOLDER}])
    return pod("own-volume", mounted, volumes=[MINE])


def own_environment() -> Object:
    """A pod that says itself where its programs look."""
    return pod("own-env", container(env=[{"name": "SPIFFE_CREDENTIAL_FOLDER", "value": "/elsewhere"}]))


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """All pods of this module, each with its task, running."""
    pods = [
        several_containers(),
        own_volume(),
        own_environment(),
        *(pod(name, container(securityContext=security)) for name, security in SECURITY.items()),
    ]
    names = [each["metadata"]["name"] for each in pods]
    together.create([task_of_pod(name) for name in names] + pods)
    inside.running(together, *names)
    return together


def containers(of: Object) -> list[Object]:
    return [*of["spec"]["containers"], *of["spec"].get("initContainers", [])]


def test_a_label_alone_gives_every_container_the_credential(place: Kubectl) -> None:
    found = place.get("pod", "several")

    volumes = [each for each in found["spec"]["volumes"] if "secret" in each]
    assert [each["secret"]["secretName"] for each in volumes] == ["agentid-several"]
    assert [each["name"] for each in containers(found)] == ["agent", "second", "before", "beside"]
    key = inside.read(place, "several", "tls.key")
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    for name in ("agent", "second", "beside"):
        assert inside.read(place, "several", "tls.key", name) == key
        assert inside.sh(place, "several", "echo $SPIFFE_CREDENTIAL_FOLDER", name).strip() == FOLDER


def test_an_init_container_reads_the_key_before_the_others_start(place: Kubectl) -> None:
    printed = place("logs", "several", "--container=before")

    assert printed == inside.read(place, "several", "tls.key")


@pytest.mark.parametrize("name", SECURITY)
def test_the_key_is_readable_as(place: Kubectl, name: str) -> None:
    user = SECURITY[name].get("runAsUser", 0)

    assert inside.sh(place, name, "id -u").strip() == str(user)
    assert inside.read(place, name, "tls.key").startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("name", ["root", "user-1000"])
def test_a_container_cannot_write_where_its_credential_is(place: Kubectl, name: str) -> None:
    said = refusal(lambda: inside.sh(place, name, f"echo forged > {FOLDER}/tls.crt"))

    assert "Read-only file system" in said or "Permission denied" in said


def test_a_pod_in_a_restricted_namespace_finds_its_credential(team: Kubectl) -> None:
    team("label", "namespace", team.namespace, "pod-security.kubernetes.io/enforce=restricted")
    assert "violates PodSecurity" in refusal(lambda: team.create(pod("careless")))
    before = container("sh", "-c", SAYS_KEY, name="before", securityContext=dict(RESTRICTED))
    careful = pod("careful", container(securityContext=dict(RESTRICTED)), initContainers=[before])

    team.create([task_of_pod("careful"), careful])

    inside.running(team, "careful")
    assert inside.serial(team, "careful") == story.serials(story.runs(team, "careful"))[-1]


def test_the_files_are_those_of_the_spiffe_draft_and_of_tls_software(place: Kubectl) -> None:
    task = story.runs(place, "root")
    identity = task["status"]["spiffeID"]
    trust_domain = identity.removeprefix("spiffe://").partition("/")[0]
    bundle = f"{trust_domain}.spiffe-trust-bundle.pem"

    assert set(inside.sizes(place, "root")) == FILES | {bundle}
    content = {name: inside.read(place, "root", name) for name in FILES | {bundle}}
    leaf, *above = x509.load_pem_x509_certificates(content["tls.crt"].encode())
    key = load_pem_private_key(content["tls.key"].encode(), password=None)
    (authority,) = x509.load_pem_x509_certificates(content["ca.crt"].encode())
    name = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.get_values_for_type(x509.UniformResourceIdentifier) == [identity]
    assert f"{leaf.serial_number:x}" == story.serials(task)[-1]
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*spki) == leaf.public_key().public_bytes(*spki)
    leaf.verify_directly_issued_by(above[0])
    above[-1].verify_directly_issued_by(authority)
    assert authority not in above
    assert content["credential-bundle.private-key.pem"] == content["tls.key"] + content["tls.crt"]
    assert content[bundle] == content["ca.crt"]


def test_a_volume_of_the_pods_own_is_respected(place: Kubectl) -> None:
    found = place.get("pod", "own-volume")

    assert [each["name"] for each in found["spec"]["volumes"] if "secret" in each] == ["mine"]
    mounted = [each["mountPath"] for each in found["spec"]["containers"][0]["volumeMounts"]]
    assert FOLDER not in mounted
    chain = inside.sh(place, "own-volume", f"cat {OWN_FOLDER}/tls.crt").encode()
    serial = f"{x509.load_pem_x509_certificate(chain).serial_number:x}"
    assert serial == story.serials(story.runs(place, "own-volume"))[-1]


def test_an_environment_of_the_pods_own_is_kept(place: Kubectl) -> None:
    assert inside.sh(place, "own-env", "echo $SPIFFE_CREDENTIAL_FOLDER").strip() == "/elsewhere"
    assert inside.read(place, "own-env", "tls.key").startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("name", ["several", *SECURITY])
def test_a_pod_has_its_secret_before_the_kubelets_pauses_grow_long(place: Kubectl, name: str) -> None:
    assert place.find("secret", f"agentid-{name}") is not None

    failures = [
        each
        for each in place.list("events", f"--field-selector=involvedObject.name={name},reason=FailedMount")
        if "agentid-credential" in each["message"]
    ]

    # After half a second it tries again, then after twice that, and so on: the fourth pause has 4 seconds.
    assert sum(each["count"] for each in failures) <= 4, json.dumps(failures, indent=1)


@pytest.mark.parametrize(
    ("label", "advice"),
    [
        ("own-env", "allows this pod Secret agentid-own-env and no other"),
        ("", "only to that of its task"),
    ],
    ids=["of another task", "of no task"],
)
def test_a_pod_without_a_tasks_label_cannot_mount_its_secret(place: Kubectl, label: str, advice: str) -> None:
    thief = pod("thief", container(), of=label, volumes=[MINE])

    assert advice in refusal(lambda: place.create(thief))
    assert place.find("pod", "thief") is None


def test_a_job_whose_template_mounts_anothers_secret_gets_no_pod(place: Kubectl) -> None:
    thief = job("thief-job", container())
    thief["spec"]["template"]["spec"]["volumes"] = [MINE]

    place.create(thief)

    def refusals() -> list[str]:
        selector = "--field-selector=involvedObject.name=thief-job,reason=FailedCreate"
        return [each["message"] for each in place.list("events", selector)]

    said = wait_until("the Job's pod is refused", refusals, within=inside.STARTED)
    assert "allows this pod Secret agentid-thief-job and no other" in said[0]
    assert not place.list("pods", "--selector=batch.kubernetes.io/job-name=thief-job")
