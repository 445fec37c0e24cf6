"""The chart's Deployment and what goes with it: what runs, how it is held, and with which settings."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from agentid.controller.settings import PREFIX, Settings, read_settings
from tests.rendering import Manifest, notes, of_kind, one, render

NOT_OF_THE_CHART = {
    "kubeconfig": "in a pod the token of its own account is used",
    "lease_name": "the Role names this one Lease",
}
"""Settings that no value sets, and why."""
FOR_PODS_ONLY = {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass", "Pod"}
MONITORS = ("monitoring.monitor=PodMonitor", "monitoring.alerts=true")
OPA = (
    "policy.opa.url=https://opa.opa.svc:8181",
    "policy.opa.caSecret=opa-ca",
    "policy.opa.clientSecret=opa-client",
    "policy.opa.tokenSecret=opa-token",
)
SINKS = (
    "crl.url=http://crl.example.com/agentid",
    "sinks.segments.claim=agentid-record",
    "sinks.http.url=https://siem.example.com/agentid?tenant=a",
    "sinks.http.caSecret=siem-ca",
    "sinks.http.tokenSecret=siem-token",
)
DIGEST = "sha256:" + "0123456789abcdef" * 4


def deployment(*values: str) -> Manifest:
    (found,) = of_kind(render(*values), "Deployment")
    return found


def pod_spec(*values: str) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(*values)["spec"]["template"]["spec"]
    return spec


def container(*values: str) -> dict[str, Any]:
    (found,) = pod_spec(*values)["containers"]
    assert isinstance(found, dict)
    return found


def settings_in(monkeypatch: pytest.MonkeyPatch, *values: str) -> Settings:
    """What an operator makes of the environment of its pod."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for each in container(*values)["env"]:
        value = (
            each.get("value")
            or {"metadata.name": "agentid-operator-1"}[each["valueFrom"]["fieldRef"]["fieldPath"]]
        )
        monkeypatch.setenv(each["name"], value)
    return read_settings(os.environ)


def test_defaults_of_the_chart_are_those_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings_in(monkeypatch, "admission.mutating=true")

    expected = Settings.model_construct(
        trust_domain="prod.example.com", namespace="agentid-system", instance="agentid-operator-1"
    )
    assert found.model_dump() == expected.model_dump()


def test_every_setting_is_given_by_a_value_or_left_out_for_a_reason() -> None:
    given = {each["name"].removeprefix(PREFIX).lower() for each in container(*OPA, *SINKS)["env"]}

    assert given | NOT_OF_THE_CHART.keys() == set(Settings.model_fields)
    assert not given & NOT_OF_THE_CHART.keys()


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("trustDomain=other.example.com", "trust_domain", "other.example.com"),
        ("serviceAccount.name=worker", "service_account", "worker"),
        ("watchNamespaces={support,sales}", "watch_namespaces", ["support", "sales"]),
        ("watchNamespaces=null", "watch_namespaces", []),
        ("workloadKinds=null", "workload_kinds", []),
        ("admission.mutating=false", "mutating_admission", False),
        ("limits.maxTtlSeconds=600", "max_ttl_seconds", 600),
        ("limits.maxActiveDeadlineSeconds=1209600", "max_active_deadline_seconds", 1_209_600),
        ("limits.maxStartDeadlineSeconds=60", "max_start_deadline_seconds", 60),
        ("limits.maxActiveTasks=7", "max_active_tasks", 7),
        ("limits.maxBreakGlassSeconds=60", "max_break_glass_seconds", 60),
        ("limits.maxApprovalSeconds=86400", "max_approval_seconds", 86_400),
        ("ledger.keepSeconds=60", "ledger_keep_seconds", 60),
        ("ledger.keepMebibytes=1", "ledger_keep_mebibytes", 1),
        ("ledger.keyDays=7", "ledger_key_days", 7),
        ("operator.wipeGraceSeconds=30", "wipe_grace_seconds", 30),
        ("operator.concurrency=8", "concurrency", 8),
        ("operator.resyncSeconds=86400", "resync_seconds", 86_400),
        ("operator.admissionProofSeconds=5", "admission_proof_seconds", 5),
        ("operator.staticSecretSeconds=5", "static_secret_seconds", 5),
        ("operator.drainSeconds=60", "drain_seconds", 60),
        ("operator.lease.durationSeconds=30", "lease_duration_seconds", 30),
        ("operator.lease.renewDeadlineSeconds=12", "lease_renew_deadline_seconds", 12),
        ("operator.lease.retrySeconds=3", "lease_retry_seconds", 3),
        ("operator.bindAddress=::", "bind_address", "::"),
        ("operator.metricsPort=9090", "metrics_port", 9090),
        ("operator.logLevel=DEBUG", "log_level", "DEBUG"),
        ("operator.logFormat=console", "log_format", "console"),
    ],
)
def test_a_value_reaches_the_operator(
    monkeypatch: pytest.MonkeyPatch, value: str, field: str, expected: object
) -> None:
    assert getattr(settings_in(monkeypatch, value), field) == expected


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("path=agentid", "opa_path", "agentid"),
        ("timeoutMilliseconds=250", "opa_timeout_milliseconds", 250),
        ("graceSeconds=0", "opa_grace_seconds", 0),
        ("allowAddresses={127.0.0.1/32}", "opa_allow_addresses", [ip_network("127.0.0.1/32")]),
        ("caSecret=", "opa_ca_file", None),
    ],
)
def test_a_value_of_opa_reaches_the_operator(
    monkeypatch: pytest.MonkeyPatch, value: str, field: str, expected: object
) -> None:
    found = settings_in(monkeypatch, *OPA, f"policy.opa.{value}")

    assert found.opa_url == "https://opa.opa.svc:8181"
    assert getattr(found, field) == expected


def test_files_for_opa_are_mounted_where_the_operator_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, settings = pod_spec(*OPA), settings_in(monkeypatch, *OPA)
    (volume,), (mount,) = spec["volumes"], container(*OPA)["volumeMounts"]

    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    there = {
        (source["secret"]["name"], f"{mount['mountPath']}/{item['path']}", item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert there == {
        ("opa-ca", str(settings.opa_ca_file), "ca.crt"),
        ("opa-client", str(settings.opa_client_certificate_file), "tls.crt"),
        ("opa-client", str(settings.opa_client_key_file), "tls.key"),
        ("opa-token", str(settings.opa_token_file), "token"),
    }


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("crl.url=https://crl.example.com/", "crl_url", "https://crl.example.com"),
        ("sinks.patienceSeconds=5", "sink_patience_seconds", 5),
        ("sinks.stdout.enabled=false", "sink_stdout", False),
        ("sinks.segments.claim=other", "sink_segments_folder", Path("/var/lib/agentid/record")),
        ("sinks.segments.claim=", "sink_segments_folder", None),
        ("sinks.segments.required=false", "sink_segments_required", False),
        ("sinks.segments.mebibytes=1", "sink_segments_mebibytes", 1),
        ("sinks.segments.files=2", "sink_segments_files", 2),
        ("sinks.http.url=", "sink_http_url", None),
        ("sinks.http.required=false", "sink_http_required", False),
        ("sinks.http.timeoutSeconds=3", "sink_http_timeout_seconds", 3),
        (
            "sinks.http.allowAddresses={127.0.0.1/32}",
            "sink_http_allow_addresses",
            [ip_network("127.0.0.1/32")],
        ),
        ("sinks.http.caSecret=", "sink_http_ca_file", None),
        ("sinks.http.tokenSecret=", "sink_http_token_file", None),
    ],
)
def test_a_value_of_a_sink_reaches_the_operator(
    monkeypatch: pytest.MonkeyPatch, value: str, field: str, expected: object
) -> None:
    assert getattr(settings_in(monkeypatch, *SINKS, value), field) == expected


def test_files_and_the_volume_of_sinks_are_where_the_operator_looks_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, settings = pod_spec(*OPA, *SINKS), settings_in(monkeypatch, *OPA, *SINKS)
    mounts = {each["name"]: each["mountPath"] for each in container(*OPA, *SINKS)["volumeMounts"]}
    volumes = {each.pop("name"): each for each in spec["volumes"]}

    assert mounts.keys() == volumes.keys() == {"opa", "sink", "record"}
    assert volumes["record"] == {"persistentVolumeClaim": {"claimName": "agentid-record"}}
    assert mounts["record"] == str(settings.sink_segments_folder)
    assert spec["securityContext"]["fsGroup"] == 65532
    there = {
        (source["secret"]["name"], f"{mounts['sink']}/{item['path']}", item["key"])
        for source in volumes["sink"]["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert there == {
        ("siem-ca", str(settings.sink_http_ca_file), "ca.crt"),
        ("siem-token", str(settings.sink_http_token_file), "token"),
    }


def test_receiver_of_the_record_is_reached_where_there_is_one() -> None:
    def egress(*values: str) -> list[Manifest]:
        rules: list[Manifest] = one(render(*values), "NetworkPolicy", "agentid-operator")["spec"]["egress"]
        return rules

    peer = "networkPolicy.sinkTo[0].podSelector.matchLabels.app=siem"
    rules = egress(*SINKS, "networkPolicy.sinkPorts={8080}", peer)
    assert len(egress()) == 1
    assert [[each["port"] for each in rule["ports"]] for rule in rules] == [[443, 6443], [8080], [53, 53]]
    assert rules[1]["to"] == [{"podSelector": {"matchLabels": {"app": "siem"}}}]


def test_where_no_opa_is_asked_nothing_is_there_for_it() -> None:
    without = tuple(each for each in OPA if not each.startswith("policy.opa.url"))

    assert "volumes" not in pod_spec(*without)
    assert not [each for each in container(*without)["env"] if "OPA" in each["name"]]


def test_no_token_is_sent_without_tls() -> None:
    with pytest.raises(ValueError, match=r"policy\.opa\.url is http"):
        render("policy.opa.url=http://opa.opa.svc:8181", "policy.opa.tokenSecret=opa-token")
    with pytest.raises(ValueError, match=r"sinks\.http\.url is http"):
        render("sinks.http.url=http://siem.example.com", "sinks.http.tokenSecret=siem-token")


def test_other_kinds_of_workload_reach_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "workloadKinds[0].apiVersion=agents.x-k8s.io/v1beta1,workloadKinds[0].kind=Sandbox"
    (found,) = settings_in(monkeypatch, kind, "workloadKinds[0].resource=sandboxes").workload_kinds

    assert (found.api_version, found.kind, found.resource) == (
        "agents.x-k8s.io/v1beta1",
        "Sandbox",
        "sandboxes",
    )


def test_it_is_held_as_pod_security_restricted_asks_and_more() -> None:
    spec, held = pod_spec(), container()["securityContext"]

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert held["readOnlyRootFilesystem"] is True
    assert held["allowPrivilegeEscalation"] is False
    assert held["capabilities"] == {"drop": ["ALL"]}
    assert "volumes" not in spec  # nothing that it could write to
    assert spec["enableServiceLinks"] is False


def test_it_has_time_to_drain() -> None:
    for seconds in (20, 300):
        grace = pod_spec(f"operator.drainSeconds={seconds}")["terminationGracePeriodSeconds"]
        assert grace >= seconds + 10


def test_a_leader_and_a_standby_run_and_are_kept_apart() -> None:
    objects = render()
    found = one(objects, "Deployment", "agentid-operator")["spec"]
    labels = found["template"]["metadata"]["labels"]

    assert found["replicas"] == 2
    assert found["selector"]["matchLabels"].items() <= labels.items()
    spread = found["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    for selector in (
        one(objects, "PodDisruptionBudget", "agentid-operator")["spec"]["selector"]["matchLabels"],
        one(objects, "Service", "agentid-metrics")["spec"]["selector"],
        one(objects, "NetworkPolicy", "agentid-operator")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in spread),
    ):
        assert selector.items() <= labels.items()


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ((), "agentid:0.1.0"),
        (
            ("image.repository=registry.example.com:5000/team/agentid", "image.tag=1.2.3"),
            "registry.example.com:5000/team/agentid:1.2.3",
        ),
        ((f"image.digest={DIGEST}", "image.tag=ignored"), f"agentid@{DIGEST}"),
    ],
)
def test_the_image_is_named_by_tag_or_pinned_by_digest(values: tuple[str, ...], image: str) -> None:
    assert container(*values)["image"] == image


def test_probes_ask_where_the_operator_serves() -> None:
    found = container("operator.metricsPort=9090")

    assert found["ports"] == [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]
    paths = {name: found[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert paths["readiness"] == {"path": "/readyz", "port": "metrics"}
    assert paths["startup"] == paths["liveness"] == {"path": "/healthz", "port": "metrics"}


def test_nothing_comes_in_but_to_the_metrics_and_nothing_goes_out_but_to_the_api_server() -> None:
    def ports(rules: list[Manifest]) -> set[tuple[int, str]]:
        return {(each["port"], each["protocol"]) for rule in rules for each in rule["ports"]}

    policy = one(render(), "NetworkPolicy", "agentid-operator")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ports(policy["ingress"]) == {(8080, "TCP")}
    assert ports(policy["egress"]) == {(443, "TCP"), (6443, "TCP")}

    values = ("networkPolicy.apiServerPorts={8443}",)
    cidr = "networkPolicy.apiServerCidrs={10.96.0.1/32}"
    narrowed = one(render(*values, cidr), "NetworkPolicy", "agentid-operator")["spec"]
    assert ports(narrowed["egress"]) == {(8443, "TCP")}
    assert narrowed["egress"][0]["to"] == [{"ipBlock": {"cidr": "10.96.0.1/32"}}]
    by_name = one(render("networkPolicy.dnsPorts={53}"), "NetworkPolicy", "agentid-operator")["spec"]
    assert ports(by_name["egress"]) == {(443, "TCP"), (6443, "TCP"), (53, "UDP"), (53, "TCP")}
    with_opa = one(render(*OPA, "networkPolicy.opaPorts={8181}"), "NetworkPolicy", "agentid-operator")["spec"]
    assert ports(with_opa["egress"]) == ports(by_name["egress"]) | {(8181, "TCP")}
    peer = "networkPolicy.opaTo[0].podSelector.matchLabels.app=opa"
    peers = one(render(*OPA, peer), "NetworkPolicy", "agentid-operator")["spec"]["egress"][1]["to"]
    assert peers == [{"podSelector": {"matchLabels": {"app": "opa"}}}]
    assert of_kind(render("networkPolicy.enabled=false"), "NetworkPolicy") == []


@pytest.mark.parametrize(("grace", "timeout"), [(120, "300s"), (3600, "3780s")])
def test_the_wait_before_uninstalling_is_longer_than_an_empty_secret_stays(grace: int, timeout: str) -> None:
    assert f" --timeout={timeout}\n" in notes(f"operator.wipeGraceSeconds={grace}")


def test_without_operators_in_pods_nothing_is_there_for_them() -> None:
    with_them = {each["kind"] for each in render(*MONITORS)}
    without = {each["kind"] for each in render("replicaCount=0", *MONITORS)}

    assert with_them - without == FOR_PODS_ONLY | {"PodMonitor", "PrometheusRule"}
    names = {each["metadata"]["name"] for each in render("replicaCount=0")}
    assert "agentid-test" not in names
    assert "agentid" in names


def test_what_prometheus_operator_reads_is_off_until_it_is_asked_for() -> None:
    def of_prometheus(*values: str) -> set[str]:
        return {each["kind"] for each in render(*values) if each["apiVersion"].startswith("monitoring.")}

    assert of_prometheus() == set()
    assert of_prometheus("monitoring.monitor=ServiceMonitor") == {"ServiceMonitor"}
    assert of_prometheus(*MONITORS) == {"PodMonitor", "PrometheusRule"}


def test_a_priority_of_ones_own_is_used_or_none() -> None:
    assert pod_spec()["priorityClassName"] == "agentid-operator"
    own = ("priorityClass.create=false", "priorityClass.name=system-cluster-critical")
    assert pod_spec(*own)["priorityClassName"] == "system-cluster-critical"
    assert "priorityClassName" not in pod_spec("priorityClass.create=false")
    assert of_kind(render(*own), "PriorityClass") == []
    assert [each["value"] for each in of_kind(render(), "PriorityClass")] == [1_000_000]


def test_no_image_but_ours_is_run() -> None:
    objects = render(f"image.digest={DIGEST}")
    pods = [each["spec"]["template"]["spec"] for each in of_kind(objects, "Deployment")]
    pods += [each["spec"] for each in of_kind(objects, "Pod")]

    assert len(pods) == 2
    for spec in pods:
        assert {each["image"] for each in spec["containers"]} == {f"agentid@{DIGEST}"}
        assert "initContainers" not in spec
    assert not {"Job", "CronJob", "DaemonSet", "StatefulSet"} & {each["kind"] for each in objects}


def test_helm_test_has_rights_of_its_own_and_leaves_nothing() -> None:
    of_test = [
        each for each in render("watchNamespaces={support}") if each["metadata"]["name"] == "agentid-test"
    ]

    assert {each["kind"] for each in of_test} == {"ServiceAccount", "Role", "RoleBinding", "Pod"}
    for each in of_test:
        annotations = each["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert "hook-succeeded,hook-failed" in annotations["helm.sh/hook-delete-policy"]
    role, binding = (one(of_test, kind, "agentid-test") for kind in ("Role", "RoleBinding"))
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "support"
    for rule in role["rules"]:
        # A right to create can't be limited to a name.
        assert rule["verbs"] == ["create"] or len(rule["resourceNames"]) == 1
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"] == ["agentid-doctor-trial"]
    (account,) = binding["subjects"]
    assert account == {"kind": "ServiceAccount", "name": "agentid-test", "namespace": "agentid-system"}
    pod = one(of_test, "Pod", "agentid-test")["spec"]
    assert pod["serviceAccountName"] == "agentid-test"
    assert pod["containers"][0]["args"] == ["doctor", "--issue", "--namespace=support"]
