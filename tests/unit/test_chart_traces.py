"""Traces in the chart: with a URL, operator and decision point send them there, and can reach it."""

from typing import Any

import pytest

from tests.rendering import Manifest, one, render
from tests.unit.test_chart_gate import ON

TRACES = (
    "traces.url=https://otel.example.com:4318",
    "traces.sampler=parentbased_traceidratio",
    "traces.samplerArg=0.1",
    "traces.caSecret=otel-ca",
    "traces.headersSecret=otel-headers",
)
BOTH = pytest.mark.parametrize(
    ("name", "switch"), [("agentid-operator", "AGENTID_TRACES"), ("agentid-gate", "AGENTID_GATE_TRACES")]
)


def pod_spec(name: str, *values: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(render(*ON, *values), "Deployment", name)["spec"]["template"]["spec"]
    return spec


def environment(name: str, *values: str) -> dict[str, Any]:
    (container,) = pod_spec(name, *values)["containers"]
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in container["env"]
        if each["name"].startswith("OTEL_") or each["name"].endswith("_TRACES")
    }


def egress(name: str, *values: str) -> list[Manifest]:
    rules: list[Manifest] = one(render(*ON, *values), "NetworkPolicy", name)["spec"]["egress"]
    return rules


@BOTH
def test_without_a_url_there_are_none(name: str, switch: str) -> None:
    without = [each for each in TRACES if not each.startswith("traces.url")]

    assert environment(name) == environment(name, *without) == {switch: "false"}
    assert "traces" not in [each["name"] for each in pod_spec(name, *without).get("volumes", [])]


@BOTH
def test_with_a_url_they_are_sent_there(name: str, switch: str) -> None:
    assert environment(name, "traces.url=http://otel.observability.svc:4318") == {
        switch: "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.observability.svc:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
    }
    assert environment(name, *TRACES) == {
        switch: "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com:4318",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/agentid/traces/ca/ca.crt",
        "OTEL_EXPORTER_OTLP_HEADERS": {"secretKeyRef": {"name": "otel-headers", "key": "headers"}},
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }


@BOTH
def test_the_ca_is_where_it_is_looked_for(name: str, switch: str) -> None:
    assert switch
    spec = pod_spec(name, *TRACES)
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "traces"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "traces"]

    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/agentid/traces", True)
    source = {"name": "otel-ca", "items": [{"key": "ca.crt", "path": "ca/ca.crt"}]}
    assert volume["projected"]["sources"] == [{"secret": source}]


@BOTH
def test_the_collector_is_reached_where_there_is_one(name: str, switch: str) -> None:
    assert switch
    peer = "networkPolicy.tracesTo[0].podSelector.matchLabels.app=otel"
    rules = egress(name, *TRACES, "networkPolicy.tracesPorts={4318,443}", peer)

    assert len(egress(name)) == 1
    assert [[each["port"] for each in rule["ports"]] for rule in rules] == [
        [443, 6443],
        [4318, 443],
        [53, 53],
    ]
    assert rules[1]["to"] == [{"podSelector": {"matchLabels": {"app": "otel"}}}]


@pytest.mark.parametrize("secret", ["caSecret", "headersSecret"])
@pytest.mark.parametrize("values", [(), ("replicaCount=0", *ON)])
def test_no_header_is_sent_without_tls(secret: str, values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"traces\.url is http"):
        render(*values, "traces.url=http://otel.example.com", f"traces.{secret}=otel")
