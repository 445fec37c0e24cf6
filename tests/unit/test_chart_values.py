"""The chart's values: wrong ones are refused before anything is installed, in words that name them."""

import json
import re

import pytest
import yaml

from devcluster.places import CHART
from tests.rendering import render, rendered

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
REFUSED_BY_SCHEMA = "values don't meet the specifications of the schema"
FREE = {"global", "serviceAccount.annotations", "nodeSelector", "affinity", "podLabels", "podAnnotations"}
FREE |= {"commonLabels", "monitoring.labels", "gate.mapping"}
FREE |= {
    f"gate.{each}"
    for each in ("serviceAccount.annotations", "nodeSelector", "affinity", "podLabels", "podAnnotations")
}
"""Maps of somebody else's keys."""


def paths(values: dict[str, object], above: str = "") -> set[str]:
    """The dotted names of all values."""
    found = set()
    for name, value in values.items():
        path = f"{above}{name}"
        found |= {path} | (
            paths(value, f"{path}.") if isinstance(value, dict) and path not in FREE else set()
        )
    return found


def described(schema: dict[str, object], above: str = "") -> set[str]:
    """The dotted names of all that the schema knows."""
    found = set()
    properties = schema.get("properties", {})
    assert isinstance(properties, dict)
    for name, each in properties.items():
        path = f"{above}{name}"
        found |= {path} | described(each, f"{path}.")
    return found


def test_every_value_has_a_default_and_a_rule() -> None:
    # May be set, and are not by default.
    unset = {"resources.limits.cpu", "gate.resources.limits.cpu", "enabled", "gate.mapping.routes"}
    assert paths(VALUES) | unset == described(SCHEMA)


def test_no_map_takes_keys_that_are_not_known() -> None:
    loose = []

    def look(schema: dict[str, object], path: str) -> None:
        if schema.get("type") == "object" and schema.get("additionalProperties", True) is True:
            loose.append(path)
        properties, items = schema.get("properties", {}), schema.get("items")
        assert isinstance(properties, dict)
        for name, each in properties.items():
            look(each, f"{path}.{name}".lstrip("."))
        if isinstance(items, dict):
            look(items, f"{path}[]")

    look(SCHEMA, "")
    # Those are Kubernetes' own, and the API server judges them.
    peers = {
        f"networkPolicy.{peers}[].{kind}"
        for peers in ("metricsFrom", "gateFrom", "opaTo", "sinkTo", "tracesTo")
        for kind in ("ipBlock", "namespaceSelector", "podSelector")
    }
    of_pods = {f"{above}{each}" for above in ("", "gate.") for each in ("affinity", "tolerations[]")}
    # A route is judged by the decision point, which does not start with one that it can't read.
    assert set(loose) == {"global", "gate.mapping.routes[]"} | of_pods | peers


@pytest.mark.parametrize(
    "value",
    [
        # Typing errors in names.
        "crd.enabled=true",
        "crds.enable=true",
        "replicas=2",
        "image.name=agentid",
        "operator.drainsSeconds=20",
        "operator.lease.duration=15",
        "networkPolicy.ports={443}",
        "monitoring.serviceMonitor=true",
        "trustdomain=prod.example.com",
        "resources.request.cpu=1",
        # Values that are none.
        "admission.mutating=maybe",
        "policy.default.create=yes",
        "policy.create=true",
        "policy.default.cedar=permit",
        "limits.maxTtlSeconds=0",
        "limits.maxTtlSeconds=86401",
        "limits.maxActiveDeadlineSeconds=1.5",
        "serviceAccount.name=Agent'id",
        "watchNamespaces={Support}",
        "watchNamespaces={support,support}",
        "watchNamespaces=support",
        "workloadKinds[0].kind=Job",
        "trustDomain=Prod.example.com",
        "trustDomain=spiffe://prod.example.com",
        "trustDomain=prod.example.com:443",
        f"trustDomain={'a' * 230}",
        "replicaCount=-1",
        "replicaCount=two",
        "replicaCount=1.5",
        "image.repository=",
        "image.repository=agentid latest",
        "image.tag=a b",
        "image.digest=sha256:0123",
        "image.digest=latest",
        "image.pullPolicy=Sometimes",
        "imagePullSecrets={registry}",
        "operator.wipeGraceSeconds=0",
        "ledger.keepSeconds=59",
        "ledger.keepMebibytes=513",
        "ledger.keyDays=0",
        "ledger.keep=1",
        "operator.concurrency=257",
        "operator.resyncSeconds=4",
        "operator.admissionProofSeconds=61",
        "operator.staticSecretSeconds=61",
        "staticSecrets.sources=legacy-crm",
        "staticSecrets.sources={Legacy}",
        "staticSecrets.sources={x509-authority}",
        "staticSecrets.sources={ledger-key}",
        "staticSecrets.sources={agentid-refund-4711}",
        "staticSecrets.source={legacy-crm}",
        "operator.drainSeconds=301",
        "operator.lease.durationSeconds=2",
        "operator.bindAddress=localhost",
        "operator.metricsPort=80",
        "operator.logLevel=info",
        "operator.logFormat=xml",
        "resources.limits.memory=512 Mi",
        "networkPolicy.apiServerPorts={}",
        "networkPolicy.apiServerPorts={0}",
        "networkPolicy.apiServerCidrs={10.0.0.1}",
        "networkPolicy.dnsPorts={dns}",
        "networkPolicy.metricsFrom={prometheus}",
        "networkPolicy.opaPorts={}",
        "networkPolicy.opaTo={opa}",
        "policy.opa.uri=https://opa.opa.svc",
        "policy.opa.url=opa.opa.svc:8181",
        "policy.opa.url=ftp://opa.opa.svc",
        "policy.opa.url=https://user@opa.opa.svc",
        "policy.opa.url=https://opa.opa.svc/v1/data",
        "policy.opa.url=https://opa.opa.svc?x=1",
        "policy.opa.path=/agentid/allow",
        "policy.opa.path=../secrets",
        "policy.opa.timeoutMilliseconds=49",
        "policy.opa.graceSeconds=3601",
        "policy.opa.allowAddresses={127.0.0.1}",
        "policy.opa.tokenSecret=Token",
        "crl.uri=http://crl.example.com",
        "crl.url=ldap://crl.example.com/a",
        "crl.url=http://crl.example.com/?a=b",
        "crl.url=http://crl.example.com/a//b",
        "sinks.patienceSeconds=0",
        "sinks.stdout.required=true",
        "sinks.stdout.enabled=yes",
        "sinks.segments.claim=Record",
        "sinks.segments.mebibytes=1025",
        "sinks.segments.files=1",
        "sinks.http.url=siem.example.com",
        "sinks.http.url=https://user@siem.example.com/",
        "sinks.http.url=https://siem.example.com/#a",
        "sinks.http.timeoutSeconds=61",
        "sinks.http.allowAddresses={127.0.0.1}",
        "sinks.http.tokenSecret=Token",
        "sinks.syslog.url=udp://a",
        "networkPolicy.sinkPorts={}",
        "networkPolicy.tracesPorts={}",
        "networkPolicy.tracesTo={otel}",
        "traces.enabled=true",
        "traces.url=otel.example.com:4318",
        "traces.url=https://user@otel.example.com",
        "traces.sampler=always",
        "traces.samplerArg=2",
        "traces.samplerArg=-0.1",
        "networkPolicy.sinkTo={siem}",
        "topologySpread.whenUnsatisfiable=Never",
        "priorityClass.value=1000000001",
        "monitoring.monitor=Prometheus",
        "monitoring.interval=30",
        "monitoring.runbookUrl=",
        "test.namespace=Default",
        r"commonLabels.app\.kubernetes\.io/name=other",
        r"podLabels.agentid\.dev/task=refund-4711",
        r"podLabels.helm\.sh/chart=other",
    ],
)
def test_wrong_values_are_refused(value: str) -> None:
    name = re.split(r"[.\[=]", value)[0]

    with pytest.raises(ValueError, match=REFUSED_BY_SCHEMA) as refused:
        render(value)

    assert name in str(refused.value)


def test_a_parent_chart_may_set_its_own_values() -> None:
    assert render("global.anything=1", "enabled=true")


def test_without_a_trust_domain_the_installation_stops_and_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"trustDomain is not set.* --set trustDomain=prod\.example\.com"):
        rendered(trust_domain="")


def test_where_no_operator_runs_no_trust_domain_is_asked_for() -> None:
    assert "AgentTask" in rendered("replicaCount=0", trust_domain="")


@pytest.mark.parametrize(
    ("duration", "deadline", "retry", "fits"),
    [(15, 10, 2, True), (10, 10, 2, False), (15, 12, 10, False), (15, 13, 10, True), (9, 10, 2, False)],
)
def test_times_of_the_lease_have_to_fit_each_other(
    duration: int,
    deadline: int,
    retry: int,
    fits: bool,  # noqa: FBT001 - parametrized
) -> None:
    lease = {"durationSeconds": duration, "renewDeadlineSeconds": deadline, "retrySeconds": retry}
    values = [f"operator.lease.{name}={seconds}" for name, seconds in lease.items()]

    if fits:
        assert render(*values)
    else:
        with pytest.raises(ValueError, match=rf"durationSeconds \({duration}\) has to be more than"):
            render(*values)


def test_the_test_issues_only_where_the_operator_serves() -> None:
    with pytest.raises(
        ValueError, match=r"test\.namespace is elsewhere, which is not one of watchNamespaces"
    ):
        render("watchNamespaces={support,sales}", "test.namespace=elsewhere")

    assert render("watchNamespaces={support,sales}", "test.namespace=sales")
    assert render("test.namespace=elsewhere")
