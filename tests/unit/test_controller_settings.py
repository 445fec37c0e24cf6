"""Settings: a bad one stops the start with one sentence that names it."""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from agentid.controller.errors import SettingsError
from agentid.controller.settings import Settings, read_settings
from agentid.outbound.credentials import CredentialFiles
from agentid.sinks.http import Receiver

_GOOD = {"AGENTID_TRUST_DOMAIN": "prod.example.com", "AGENTID_NAMESPACE": "agentid-system"}


def _read(monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, str]) -> Settings:
    for name in [name for name in os.environ if name.startswith("AGENTID_")]:
        monkeypatch.delenv(name)
    for name, value in {**_GOOD, **changes}.items():
        monkeypatch.setenv(name, value)
    return read_settings(os.environ)


def test_the_least_that_has_to_be_set_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _read(monkeypatch, {})
    assert settings.trust_domain == "prod.example.com"
    assert settings.wipe_grace_seconds == 120
    assert settings.workload_kinds[0].as_resource().path("ns", "j") == "/apis/batch/v1/namespaces/ns/jobs/j"


def test_every_value_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = '[{"apiVersion": "example.com/v1", "kind": "Flow", "resource": "flows"}]'
    settings = _read(
        monkeypatch,
        {
            "AGENTID_WATCH_NAMESPACES": '["a", "b"]',
            "AGENTID_WORKLOAD_KINDS": kinds,
            "AGENTID_CLUSTER_LABELS": '{"env": "prod", "example.com/region": ""}',
            "AGENTID_MUTATING_ADMISSION": "false",
            "AGENTID_METRICS_PORT": "0",
        },
    )
    assert settings.watch_namespaces == ["a", "b"]
    assert settings.workload_kinds[0].kind == "Flow"
    assert settings.cluster_labels == {"env": "prod", "example.com/region": ""}
    assert settings.mutating_admission is False
    assert settings.metrics_port == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AGENTID_TRUST_DOMAIN", "Prod.example.com", "'P'"),
        ("AGENTID_TRUST_DOMAIN", "spiffe://prod", "':'"),
        ("AGENTID_NAMESPACE", "Agentid", "DNS label"),
        ("AGENTID_CONCURRENCY", "1_0", "digits only"),
        ("AGENTID_CONCURRENCY", " 7", "digits only"),
        ("AGENTID_CONCURRENCY", "0", "greater than or equal to 1"),
        ("AGENTID_CONCURRENCY", "1e2", "digits only"),
        ("AGENTID_WIPE_GRACE_SECONDS", "-1", "digits only"),
        ("AGENTID_MUTATING_ADMISSION", "yes", "true or false"),
        ("AGENTID_METRICS_PORT", "65536", "65535"),
        ("AGENTID_WATCH_NAMESPACES", "a,b", '["team-a", "team-b"]'),
        ("AGENTID_WORKLOAD_KINDS", '[{"kind": "Job"}]', "apiVersion"),
        ("AGENTID_CLUSTER_LABELS", '{"env": "a b"}', "must be the value of a label"),
        ("AGENTID_CLUSTER_LABELS", '{"env": "prod\\n"}', "must be the value of a label"),
        ("AGENTID_CLUSTER_LABELS", '{"-env": ""}', "must be the key of a label"),
        ("AGENTID_CLUSTER_LABELS", "env=prod", "AGENTID_CLUSTER_LABELS"),
        ("AGENTID_OPA_URL", "opa.opa.svc:8181", "must be a URL with https or http"),
        ("AGENTID_OPA_URL", "file:///etc/passwd", "must be a URL with https or http"),
        ("AGENTID_OPA_URL", "https://user:pass@opa", "no user, no password"),
        ("AGENTID_OPA_URL", "https://opa/v1/data", "scheme, host and port only"),
        ("AGENTID_OPA_URL", "https://opa?x=1", "scheme, host and port only"),
        ("AGENTID_OPA_URL", "https://opa:99999", "is not a URL"),
        ("AGENTID_OPA_URL", "https://öpa.example.com", "neither a name nor an address"),
        ("AGENTID_OPA_URL", "https://a%0d%0ab", "neither a name nor an address"),
        ("AGENTID_OPA_PATH", "/agentid/allow", "the path of a document"),
        ("AGENTID_OPA_PATH", "agentid/../../secrets", "the path of a document"),
        ("AGENTID_OPA_PATH", "agentid/allow?pretty", "the path of a document"),
        ("AGENTID_OPA_PATH", "a" * 254, "the path of a document"),
        ("AGENTID_OPA_TIMEOUT_MILLISECONDS", "49", "50"),
        ("AGENTID_OPA_GRACE_SECONDS", "3601", "3600"),
        ("AGENTID_OPA_ALLOW_ADDRESSES", '["10.0.0.7/8"]', "must be a network"),
        ("AGENTID_OPA_ALLOW_ADDRESSES", "[2130706433]", "AGENTID_OPA_ALLOW_ADDRESSES"),
        ("AGENTID_OPA_ALLOW_ADDRESSES", "127.0.0.1/32", '["10.0.0.7/32"]'),
        ("AGENTID_OPA_CLIENT_KEY_FILE", "/key", "set both or none"),
        ("AGENTID_LOG_LEVEL", "loud", "'DEBUG'"),
        ("AGENTID_LEASE_DURATION_SECONDS", "10", "AGENTID_LEASE_DURATION_SECONDS"),
        ("AGENTID_WIPE_GRACE", "120", "is not a setting"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        _read(monkeypatch, {name: value})
    assert said in str(refused.value)
    assert name in str(refused.value) or name.removeprefix("AGENTID_").lower() in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(_GOOD))
def test_what_must_be_set_is_missed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        _read(monkeypatch, {name: ""})


@pytest.mark.parametrize(
    "name",
    [
        "AGENTID_SERVICE_HOST",
        "AGENTID_SERVICE_PORT",
        "AGENTID_SERVICE_PORT_METRICS",
        "AGENTID_PORT",
        "AGENTID_PORT_8080_TCP",
        "AGENTID_PORT_8080_TCP_ADDR",
        "AGENTID_METRICS_SERVICE_HOST",
        "AGENTID_CACHE",
        "AGENTID_DEMO_NODE",
    ],
)
def test_what_kubernetes_and_make_set_is_not_taken_for_a_setting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert _read(monkeypatch, {name: "tcp://10.0.0.1:8080"}) == _read(monkeypatch, {})


@pytest.mark.parametrize("name", ["AGENTID_SERVICE_ACOUNT", "AGENTID_METRIC_PORT", "AGENTID_PORT_8080"])
def test_a_typing_error_that_resembles_them_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not a setting"):
        _read(monkeypatch, {name: "1"})


def test_opa_is_asked_where_a_url_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _read(monkeypatch, {}).opa() is None
    endpoint = _read(
        monkeypatch,
        {
            "AGENTID_OPA_URL": "https://[fd00::7]:8181/",
            "AGENTID_OPA_PATH": "agentid/v1.allow",
            "AGENTID_OPA_ALLOW_ADDRESSES": '["127.0.0.1/32", "fe80::/64"]',
            "AGENTID_OPA_TOKEN_FILE": "/etc/agentid/opa/token/token",
        },
    ).opa()
    assert endpoint is not None
    assert endpoint.question == "https://[fd00::7]:8181/v1/data/agentid/v1.allow"
    assert endpoint.rule == "data.agentid.v1.allow"
    assert endpoint.allowed == (ip_network("127.0.0.1/32"), ip_network("fe80::/64"))
    assert endpoint.timeout_seconds == 1.0


def test_record_is_posted_where_a_url_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _read(monkeypatch, {}).receiver() is None
    receiver = _read(
        monkeypatch,
        {
            "AGENTID_SINK_HTTP_URL": "https://siem.example.com/agentid?tenant=a",
            "AGENTID_SINK_HTTP_TIMEOUT_SECONDS": "3",
            "AGENTID_SINK_HTTP_ALLOW_ADDRESSES": '["127.0.0.1/32"]',
            "AGENTID_SINK_HTTP_CA_FILE": "/ca",
            "AGENTID_SINK_HTTP_TOKEN_FILE": "/token",
        },
    ).receiver()
    files = CredentialFiles(ca=Path("/ca"), token=Path("/token"))
    allowed = (ip_network("127.0.0.1/32"),)
    assert receiver == Receiver("https://siem.example.com/agentid?tenant=a", 3, allowed, files)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENTID_SINK_HTTP_URL", "siem.example.com"),
        ("AGENTID_SINK_HTTP_URL", "https://user@siem.example.com/"),
        ("AGENTID_SINK_SEGMENTS_FILES", "1"),
        ("AGENTID_SINK_PATIENCE_SECONDS", "0"),
        ("AGENTID_SINK_STDOUT", "yes"),
        ("AGENTID_CRL_URL", "ldap://crl.example.com/a"),
        ("AGENTID_CRL_URL", "http://crl.example.com/?a=b"),
    ],
)
def test_sink_and_crl_that_cannot_be_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=name):
        _read(monkeypatch, {name: value})


@pytest.mark.parametrize("name", ["TOKEN_FILE", "CA_FILE"])
def test_record_is_not_posted_without_tls_where_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain = {"AGENTID_SINK_HTTP_URL": "http://siem.example.com", f"AGENTID_SINK_HTTP_{name}": "/file"}
    with pytest.raises(SettingsError, match=f"AGENTID_SINK_HTTP_{name} takes https"):
        _read(monkeypatch, plain)


@pytest.mark.parametrize("name", ["TOKEN_FILE", "CA_FILE"])
def test_nothing_that_takes_tls_is_used_without_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plain = {"AGENTID_OPA_URL": "http://opa.opa.svc:8181", f"AGENTID_OPA_{name}": "/file"}
    with pytest.raises(SettingsError, match=f"AGENTID_OPA_{name} takes https"):
        _read(monkeypatch, plain)
