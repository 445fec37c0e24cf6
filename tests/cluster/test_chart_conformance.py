"""What the chart renders is what this API server describes, field by field, and what linters ask of it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import build
from devcluster.controlplane import ControlPlane
from devcluster.places import CHECKOUT
from tests.cluster.chart_schemas import LOCATION, write_schemas
from tests.rendering import rendered

pytestmark = pytest.mark.timeout(900)  # the first run builds the linters

EVERYTHING = (
    "image.digest=sha256:" + "0123456789abcdef" * 4,
    "imagePullSecrets[0].name=registry",
    "watchNamespaces={support,sales}",
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring",
    "networkPolicy.apiServerCidrs={10.96.0.1/32}",
    "networkPolicy.opaTo[0].podSelector.matchLabels.app=opa",
    "policy.opa.url=https://opa.opa.svc:8181",
    "policy.opa.caSecret=opa-ca",
    "policy.opa.clientSecret=opa-client",
    "policy.opa.tokenSecret=opa-token",
    "nodeSelector.pool=system",
    "tolerations[0].operator=Exists",
    "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
    "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key=a",
    "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].operator=Exists",
    "podLabels.team=platform",
    "podAnnotations.note=here",
    "serviceAccount.annotations.note=here",
    "commonLabels.team=platform",
    "resources.limits.cpu=1",
    "gate.enabled=true",
    "gate.tls.secret=gate-tls",
    "gate.tls.clientCaSecret=gate-ca",
    "gate.enforcementPoints[0].spiffeID=spiffe://prod.example.com/ns/edge/sa/envoy",
    "gate.enforcementPoints[0].namespaces[0]=support",
    "gate.mapping.routes[0].grpc.method=shop.Orders/Get",
    "gate.mapping.routes[0].action=orders:read",
    "gate.nodeSelector.pool=edge",
    "gate.tolerations[0].operator=Exists",
    "gate.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
    "gate.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key=a",
    "gate.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].operator=Exists",
    "gate.podLabels.team=platform",
    "gate.podAnnotations.note=here",
    "gate.serviceAccount.annotations.note=here",
    "networkPolicy.gateFrom[0].podSelector.matchLabels.app=envoy",
)
"""Every value set that adds something to an object."""
VARIANTS = {
    "defaults": (),
    "every value set": EVERYTHING,
    "no operator": ("replicaCount=0",),
    "with a decision point": ("gate.enabled=true", "gate.tls.secret=gate-tls"),
    "where nothing is stamped": ("admission.mutating=false",),
    "CRDs not kept": ("crds.keep=false",),
}
IGNORED = {
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints keep them apart, over zones too",
    "container-image-pull-policy": "a pinned image is the same whether it is pulled again or not",
}
"""What the linter asks for and does not get, and why."""


@pytest.fixture(scope="session")
def linters() -> dict[str, Path]:
    """The linters, built now if this is the first run."""
    return build.ensure(["kubeconform", "kube-score"])


@pytest.fixture(scope="session")
def schemas(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a schema of each kind that the chart renders, and of agentid's own."""
    folder = tmp_path_factory.mktemp("schemas")
    objects = [each for variant in VARIANTS.values() for each in documents(variant)]
    write_schemas(
        cluster.kubectl,
        {each["apiVersion"] for each in objects} | {"agentid.dev/v1alpha1", "batch/v1"},
        folder,
    )
    return folder


def documents(values: tuple[str, ...]) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(chart(*values)) if each]


def chart(*values: str) -> str:
    """The chart as rendered for this API server, unless a value says otherwise."""
    return rendered("admission.mutating=true", *values)


def judged(linters: dict[str, Path], schemas: Path, text: str) -> dict[str, Any]:
    """What kubeconform says of objects."""
    command = [linters["kubeconform"], "-strict", "-summary", "-output=json"]
    done = subprocess.run(
        [*map(str, command), f"-schema-location={schemas}/{LOCATION}"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    said["failed"] = done.returncode != 0
    return said


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_object_is_as_the_api_server_describes_its_kind(
    linters: dict[str, Path], schemas: Path, variant: str
) -> None:
    said = judged(linters, schemas, chart(*VARIANTS[variant]))

    assert not said.get("resources"), json.dumps(said["resources"])
    assert said["summary"] == {
        "valid": len(documents(VARIANTS[variant])),
        "invalid": 0,
        "errors": 0,
        "skipped": 0,
    }
    assert not said["failed"]


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "deploy" / "examples").iterdir()))
def test_each_example_is_as_the_api_server_describes_its_kind(
    linters: dict[str, Path], schemas: Path, cluster: ControlPlane, name: str
) -> None:
    write_schemas(cluster.kubectl, ["v1", "apps/v1"], schemas)
    said = judged(linters, schemas, (CHECKOUT / "deploy" / "examples" / name).read_text())

    assert not said["failed"], said["resources"]
    assert said["summary"]["valid"] > 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("enableServiceLinks: false", "enableServiceLink: false"),
        ("replicas: 2", "replicas: two"),
        (
            "automountServiceAccountToken: true\n",
            "automountServiceAccountToken: true\n      automountServiceAccountToken: true\n",
        ),
        ("unhealthyPodEvictionPolicy", "unhealthyPodEvictPolicy"),
        ("  - expression: |-", "  - expresion: |-"),
        ("additionalPrinterColumns", "additionalPrinterColumn"),
    ],
)
def test_a_field_that_is_not_there_or_wrong_is_found(
    linters: dict[str, Path], schemas: Path, right: str, wrong: str
) -> None:
    text = chart()
    assert right in text

    said = judged(linters, schemas, text.replace(right, wrong, 1))

    assert said["failed"]
    assert said["summary"]["invalid"] + said["summary"]["errors"] == 1


@pytest.mark.parametrize("variant", ["defaults", "every value set", "with a decision point"])
def test_the_linter_has_nothing_to_say(linters: dict[str, Path], variant: str) -> None:
    ignored = [f"--ignore-test={each}" for each in IGNORED]
    # A leader that is held back by a limit of CPU renews its Lease too late.
    command = [str(linters["kube-score"]), "score", "-", "--ignore-container-cpu-limit", *ignored]

    done = subprocess.run(
        [*command, "--output-format=ci", "--exit-one-on-warning"],
        input=chart(*VARIANTS[variant]),
        capture_output=True,
        text=True,
        check=False,
    )

    complaints = [line for line in done.stdout.splitlines() if not line.startswith(("[OK]", "[SKIPPED]"))]
    assert complaints == []
    assert done.returncode == 0, done.stderr
