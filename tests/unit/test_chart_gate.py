"""The chart's decision point: off by default, held like the operator; it may write nothing."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentid.api.names import CRL_PART_CONFIG_MAPS, HEARTBEAT
from agentid.controller.settings import PREFIX as OPERATORS_PREFIX
from agentid.gate.mapping import read_mapping
from agentid.gate.peers import Source
from agentid.gate.settings import PREFIX, GateSettings, read_gate_settings
from devcluster.places import CHECKOUT
from tests.rendering import Manifest, notes, of_kind, one, render, rendered_from

ON = ("gate.enabled=true", "gate.tls.secret=gate-tls")
DECISIONS = Path("/var/lib/agentid/decisions")
NOT_OF_THE_CHART = {
    "kubeconfig": "in a pod the token of its own account is used",
    "insecure": "in a pod it is served with TLS",
    "instance": "in a pod the host is called like the pod",
}
"""Settings that no value sets, and why."""
OTHERWISE = {
    "token_audience": "agentid-gate",
    "base_url": "https://agentid-gate.agentid-system.svc",
    "tls_certificate_file": Path("/etc/agentid/tls/own/tls.crt"),
    "tls_key_file": Path("/etc/agentid/tls/own/tls.key"),
    "decision_log_folder": DECISIONS,
}
"""What the chart's defaults set where the process has no default, or none that fits a cluster."""
ROUTE = (
    "gate.mapping.routes[0].http.methods[0]=GET",
    "gate.mapping.routes[0].http.path=/orders/\\{order\\}",
    "gate.mapping.routes[0].action=orders:read",
)
EVERYTHING = (
    *ON,
    *ROUTE,
    "gate.tls.clientCaSecret=spiffe-ca",
    "gate.maxAgePublicSeconds=60",
    "gate.maxAgeInternalSeconds=30",
)
EXAMPLE = CHECKOUT / "deploy" / "gate"
POINT = "gate.enforcementPoints[0]"
READS = {"get", "list", "watch"}


def deployment(*values: str) -> Manifest:
    return one(render(*values), "Deployment", "agentid-gate")


def pod_spec(*values: str) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(*values)["spec"]["template"]["spec"]
    return spec


def container(*values: str) -> dict[str, Any]:
    (found,) = pod_spec(*values)["containers"]
    assert isinstance(found, dict)
    return found


def settings_in(monkeypatch: pytest.MonkeyPatch, *values: str) -> GateSettings:
    """What a decision point makes of the environment of its pod."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for each in container(*values)["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    return read_gate_settings(os.environ)


def test_it_is_off_until_it_is_asked_for() -> None:
    of_it = [each for each in render() if each["metadata"]["name"].startswith("agentid-gate")]

    assert of_it == []
    (operator,) = one(render(), "Deployment", "agentid-operator")["spec"]["template"]["spec"]["containers"]
    assert {"name": f"{OPERATORS_PREFIX}HEARTBEAT", "value": "false"} in operator["env"]


def test_the_operator_shows_that_it_lives_where_there_is_one() -> None:
    found = one(render(*ON), "Deployment", "agentid-operator")
    (operator,) = found["spec"]["template"]["spec"]["containers"]

    assert {"name": f"{OPERATORS_PREFIX}HEARTBEAT", "value": "true"} in operator["env"]


def test_defaults_of_the_chart_are_those_of_the_decision_point(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings_in(monkeypatch, *ON)

    expected = GateSettings.model_construct(trust_domain="prod.example.com", namespace="agentid-system")
    assert found.model_dump() == expected.model_dump() | OTHERWISE


def test_every_setting_is_given_by_a_value_or_left_out_for_a_reason() -> None:
    given = {each["name"].removeprefix(PREFIX).lower() for each in container(*EVERYTHING)["env"]}

    assert given | NOT_OF_THE_CHART.keys() == set(GateSettings.model_fields)
    assert not given & NOT_OF_THE_CHART.keys()


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("trustDomain=other.example.com", "trust_domain", "other.example.com"),
        ("watchNamespaces={support,sales}", "watch_namespaces", ["support", "sales"]),
        ("clusterLabels.stage=production", "cluster_labels", {"stage": "production"}),
        ("gate.tokenAudience=", "token_audience", None),
        ("gate.callerFrom={x-forwarded-client-cert}", "caller_from", [Source.FORWARDED]),
        ("gate.maxAgeSeconds=3", "max_age_seconds", 3),
        ("gate.maxAgePublicSeconds=600", "max_age_public_seconds", 600),
        ("gate.maxAgeInternalSeconds=60", "max_age_internal_seconds", 60),
        ("gate.maxSkewMilliseconds=500", "max_skew_milliseconds", 500),
        ("gate.publicWithoutSerial=true", "public_without_serial", True),
        ("gate.baseUrl=https://pdp.example.com", "base_url", "https://pdp.example.com"),
        ("gate.bindAddress=::", "bind_address", "::"),
        ("gate.httpPort=1443", "http_port", 1443),
        ("gate.grpcPort=2443", "grpc_port", 2443),
        ("gate.metricsPort=9090", "metrics_port", 9090),
        ("gate.maxBodyBytes=1048576", "max_body_bytes", 1_048_576),
        ("gate.readSeconds=1", "read_seconds", 1),
        ("gate.maxConnections=10", "max_connections", 10),
        ("gate.maxCalls=20", "max_calls", 20),
        ("gate.decisionLog.allowedPercent=0", "decision_log_allowed_percent", 0),
        ("gate.decisionLog.mebibytes=2", "decision_log_mebibytes", 2),
        ("gate.decisionLog.files=3", "decision_log_files", 3),
        ("gate.decisionLog.required=true", "decision_log_required", True),
        ("gate.logLevel=DEBUG", "log_level", "DEBUG"),
        ("gate.logFormat=console", "log_format", "console"),
    ],
)
def test_a_value_reaches_the_decision_point(
    monkeypatch: pytest.MonkeyPatch, value: str, field: str, expected: object
) -> None:
    assert getattr(settings_in(monkeypatch, *ON, value), field) == expected


def test_enforcement_points_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    account = (
        f"{POINT}.serviceAccount.namespace=edge",
        f"{POINT}.serviceAccount.name=envoy",
        f"{POINT}.namespaces[0]=support",
    )
    (found,) = settings_in(monkeypatch, *ON, *account).enforcement_points

    assert (found.name, found.namespaces) == ("system:serviceaccount:edge:envoy", ["support"])


def test_the_mapping_is_mounted_and_another_one_takes_other_pods() -> None:
    objects = render(*ON, *ROUTE)
    text = one(objects, "ConfigMap", "agentid-gate")["data"]["mapping.yaml"]
    (route,) = read_mapping(text).routes
    mounts = {each["name"]: each["mountPath"] for each in container(*ON, *ROUTE)["volumeMounts"]}

    assert (route.action, route.http and route.http.path) == ("orders:read", "/orders/{order}")
    assert mounts["mapping"] == "/etc/agentid/mapping"

    def noted(*values: str) -> dict[str, str]:
        annotations: dict[str, str] = deployment(*ON, *values)["spec"]["template"]["metadata"]["annotations"]
        return annotations

    assert noted(*ROUTE) != noted(*ROUTE, "gate.mapping.routes[0].action=orders:write")
    assert of_kind(render(*ON), "ConfigMap") == []


def test_files_are_mounted_where_it_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(monkeypatch, *EVERYTHING)
    volume = next(each for each in pod_spec(*EVERYTHING)["volumes"] if each["name"] == "tls")
    mount = next(each for each in container(*EVERYTHING)["volumeMounts"] if each["name"] == "tls")

    assert mount["readOnly"] is True
    there = {
        (source["secret"]["name"], f"{mount['mountPath']}/{item['path']}", item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert there == {
        ("gate-tls", str(settings.tls_certificate_file), "tls.crt"),
        ("gate-tls", str(settings.tls_key_file), "tls.key"),
        ("spiffe-ca", str(settings.tls_client_ca_file), "ca.crt"),
    }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (("gate.enabled=true",), r"gate\.tls\.secret is not set"),
        (
            (*ON, f"{POINT}.spiffeID=spiffe://a.b/ns/edge/agent/e/task/x", f"{POINT}.namespaces[0]=a"),
            r"name a Secret with the CA of those \(ca\.crt\) in gate\.tls\.clientCaSecret",
        ),
        (
            (
                *ON,
                "gate.tokenAudience=",
                f"{POINT}.serviceAccount.namespace=edge",
                f"{POINT}.serviceAccount.name=envoy",
                f"{POINT}.namespaces[0]=a",
            ),
            r"edge/envoy, which shows a token: say in gate\.tokenAudience",
        ),
        ((*ON, "gate.grpcPort=8443"), "have to be three ports"),
    ],
)
def test_what_does_not_fit_together_stops_the_installation(values: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        render(*values)


def test_without_a_trust_domain_it_is_not_installed() -> None:
    with pytest.raises(ValueError, match="trustDomain is not set: the decision point"):
        render(*ON, "trustDomain=", "replicaCount=0")


def test_where_it_runs_outside_of_the_cluster_its_account_and_rights_are_there_alone() -> None:
    objects = render("gate.enabled=true", "gate.replicaCount=0", "monitoring.monitor=PodMonitor")

    kinds = {each["kind"] for each in objects if each["metadata"]["name"].startswith("agentid-gate")}
    assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def test_it_may_write_its_reports_alone_and_read_no_secret() -> None:
    rules = [
        rule
        for kind in ("ClusterRole", "Role")
        for role in of_kind(render(*ON), kind)
        if role["metadata"]["name"].startswith("agentid-gate")
        for rule in role["rules"]
    ]

    assert rules
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]
        created = (["tokenreviews"], ["decisioncheckpoints"])
        assert set(rule["verbs"]) - READS == ({"create"} if rule["resources"] in created else set())
        if rule["resources"] == ["configmaps"]:
            names = ("agentid-crl", "agentid-crl-previous")
            readable = {"list": names, "get": CRL_PART_CONFIG_MAPS}
            assert tuple(rule["resourceNames"]) == readable[rule["verbs"][0]]
    subjects = [
        (each["metadata"]["name"], subject["name"])
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for each in of_kind(render(*ON), kind)
        for subject in each["subjects"]
    ]
    assert {role for role, account in subjects if account == "agentid-gate"} == {
        "agentid-gate",
        "agentid-gate-cluster",
        "agentid-gate-home",
    }
    assert {account for role, account in subjects if role.startswith("agentid-gate")} == {"agentid-gate"}


def test_without_tokens_it_reviews_none() -> None:
    def reviews(*values: str) -> bool:
        role = one(render(*ON, *values), "ClusterRole", "agentid-gate-cluster")
        return any("tokenreviews" in rule["resources"] for rule in role["rules"])

    assert (reviews(), reviews("gate.tokenAudience=")) == (True, False)


def test_with_watched_namespaces_its_rights_end_there() -> None:
    objects = render(*ON, "watchNamespaces={support,sales}")
    bound = {
        each["metadata"]["namespace"]
        for each in of_kind(objects, "RoleBinding")
        if each["roleRef"]["name"] == "agentid-gate"
    }
    everywhere = {each["metadata"]["name"] for each in of_kind(objects, "ClusterRoleBinding")}
    (namespaces,) = (
        rule
        for rule in one(objects, "ClusterRole", "agentid-gate-cluster")["rules"]
        if rule["resources"] == ["namespaces"]
    )

    assert bound == {"support", "sales"}
    assert "agentid-gate" not in everywhere
    assert namespaces["resourceNames"] == ["support", "sales"]


def test_it_is_held_as_pod_security_restricted_asks_and_more() -> None:
    spec, held = pod_spec(*ON), container(*ON)["securityContext"]

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert held["readOnlyRootFilesystem"] is True
    assert held["allowPrivilegeEscalation"] is False
    assert held["capabilities"] == {"drop": ["ALL"]}
    assert spec["enableServiceLinks"] is False
    mounts = container(*EVERYTHING)["volumeMounts"]
    assert [each["mountPath"] for each in mounts if not each.get("readOnly")] == [str(DECISIONS)]


def test_the_folder_of_its_log_has_room_for_all_its_files() -> None:
    (volume,) = (
        each
        for each in pod_spec(*ON, "gate.decisionLog.mebibytes=2", "gate.decisionLog.files=5")["volumes"]
        if "emptyDir" in each
    )
    assert volume["emptyDir"] == {"sizeLimit": "28Mi"}


def test_its_objects_and_the_operators_each_select_their_own_pods() -> None:
    objects = render(*ON)
    pods = {
        name: one(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        for name in ("agentid-gate", "agentid-operator")
    }
    spread = pod_spec(*ON)["topologySpreadConstraints"]

    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    selectors = {
        "agentid-gate": [
            one(objects, "PodDisruptionBudget", "agentid-gate")["spec"]["selector"]["matchLabels"],
            one(objects, "Service", "agentid-gate")["spec"]["selector"],
            one(objects, "Service", "agentid-gate-metrics")["spec"]["selector"],
            one(objects, "NetworkPolicy", "agentid-gate")["spec"]["podSelector"]["matchLabels"],
            *(each["labelSelector"]["matchLabels"] for each in spread),
        ],
        "agentid-operator": [
            one(objects, "PodDisruptionBudget", "agentid-operator")["spec"]["selector"]["matchLabels"],
            one(objects, "Service", "agentid-metrics")["spec"]["selector"],
        ],
    }
    for name, its in selectors.items():
        for selector in its:
            chosen = {pod for pod, labels in pods.items() if selector.items() <= labels.items()}
            assert chosen == {name}
    # What the operator may reach, the decision point may not.
    (component,) = one(objects, "NetworkPolicy", "agentid-operator")["spec"]["podSelector"][
        "matchExpressions"
    ]
    assert pods["agentid-gate"][component["key"]] not in component["values"]


def test_who_asks_comes_in_and_nothing_goes_out_but_to_the_api_server() -> None:
    def policy(*values: str) -> Manifest:
        spec: Manifest = one(render(*ON, *values), "NetworkPolicy", "agentid-gate")["spec"]
        return spec

    def ports(rules: list[Manifest]) -> list[list[int]]:
        return [[each["port"] for each in rule["ports"]] for rule in rules]

    found = policy("policy.opa.url=https://opa.opa.svc:8181")
    assert ports(found["ingress"]) == [[8443, 9443], [8080]]
    assert ports(found["egress"]) == [[443, 6443]]
    peer = "networkPolicy.gateFrom[0].podSelector.matchLabels.app=envoy"
    asked, watched = policy(peer)["ingress"]
    assert asked["from"] == [{"podSelector": {"matchLabels": {"app": "envoy"}}}]
    assert "from" not in watched


def test_probes_and_services_find_it_where_it_serves() -> None:
    values = (*ON, "gate.httpPort=1443", "gate.grpcPort=2443", "gate.metricsPort=9090")
    found = container(*values)
    ports = {each["name"]: each["containerPort"] for each in found["ports"]}

    assert ports == {"https": 1443, "grpc": 2443, "metrics": 9090}
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    for each in of_kind(render(*values), "Service"):
        if each["metadata"]["name"].startswith("agentid-gate"):
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports.keys()


def test_prometheus_finds_it() -> None:
    for kind in ("PodMonitor", "ServiceMonitor"):
        objects = render(*ON, f"monitoring.monitor={kind}")
        selected = one(objects, kind, "agentid-gate")["spec"]["selector"]["matchLabels"]
        where = one(objects, "Service", "agentid-gate-metrics") if kind == "ServiceMonitor" else None
        found = where or deployment(*ON)["spec"]["template"]
        labels = found["metadata"]["labels"]
        assert selected.items() <= labels.items()


def test_notes_say_who_may_ask_or_that_nobody_may() -> None:
    assert "nobody may ask it yet" in notes(*ON)
    account = (f"{POINT}.serviceAccount.namespace=edge", f"{POINT}.serviceAccount.name=envoy")
    told = notes(*ON, *account, f"{POINT}.namespaces[0]=support")
    assert "nobody may ask it yet" not in told
    assert "https://agentid-gate.default.svc" in told
    assert HEARTBEAT in told
    assert "decision point" not in notes()


def test_the_examples_values_and_certificates_fit_each_other_and_the_chart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = yaml.safe_load((EXAMPLE / "values.yaml").read_text())["gate"]
    certificates = {
        each["spec"]["secretName"]: each["spec"]
        for each in yaml.safe_load_all((EXAMPLE / "certificates.yaml").read_text())
        if each["kind"] == "Certificate"
    }
    service = one(render(*ON), "Service", "agentid-gate")["metadata"]
    (point,) = written["enforcementPoints"]

    own = certificates[written["tls"]["secret"]]
    assert own["dnsNames"] == [f"{service['name']}.{service['namespace']}.svc"]
    # cert-manager writes the CA beside each certificate, and one CA signs both.
    assert written["tls"]["clientCaSecret"] == written["tls"]["secret"]
    assert own["issuerRef"] == certificates["orders-envoy-tls"]["issuerRef"]
    assert certificates["orders-envoy-tls"]["uris"] == [point["spiffeID"]]
    given = rendered_from(EXAMPLE / "values.yaml")
    (route, *_) = read_mapping(one(given, "ConfigMap", "agentid-gate")["data"]["mapping.yaml"]).routes
    assert (route.action, route.resource) == ("orders:read", "order/{order}")
    environment = one(given, "Deployment", "agentid-gate")["spec"]["template"]["spec"]["containers"][0]["env"]
    for each in environment:
        monkeypatch.setenv(each["name"], each["value"])
    assert read_gate_settings(os.environ).enforcement_points[0].spiffe_id == point["spiffeID"]
