"""Settings of the decision point: what stops the start, and with which sentence."""

from datetime import timedelta

import pytest

from agentid.api.agent import Sensitivity
from agentid.gate.errors import GateSettingsError, UnservableError
from agentid.gate.peers import Source
from agentid.gate.settings import GateSettings, read_gate_settings
from agentid.gate.tls import TlsFiles

PLAIN = {
    "AGENTID_GATE_TRUST_DOMAIN": "prod.example.com",
    "AGENTID_GATE_NAMESPACE": "agentid",
    "AGENTID_GATE_TLS_CERTIFICATE_FILE": "/tls/tls.crt",
    "AGENTID_GATE_TLS_KEY_FILE": "/tls/tls.key",
}


def settings(monkeypatch: pytest.MonkeyPatch, **changes: str) -> GateSettings:
    environment = PLAIN | {f"AGENTID_GATE_{name}": value for name, value in changes.items()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read_gate_settings(environment)


def test_what_is_left_out_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch)

    assert set(found.limits().max_age.values()) == {timedelta(seconds=5)}
    assert not found.limits().serial_optional
    assert found.caller_from == [Source.CERTIFICATE]
    assert found.enforcement_points == []
    assert found.token_audience is None


def test_a_longer_age_is_for_public_and_internal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, MAX_AGE_PUBLIC_SECONDS="60", MAX_AGE_INTERNAL_SECONDS="30")

    assert {each: most.total_seconds() for each, most in found.limits().max_age.items()} == {
        Sensitivity.PUBLIC: 60,
        Sensitivity.INTERNAL: 30,
        Sensitivity.CONFIDENTIAL: 5,
        Sensitivity.RESTRICTED: 5,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TRUST_DOMAIN": "Prod"}, "AGENTID_GATE_TRUST_DOMAIN: trust domain 'Prod' holds 'P'"),
        (
            {"MAX_AGE_SECONDS": "1_0"},
            "AGENTID_GATE_MAX_AGE_SECONDS: must be a whole number, written with digits",
        ),
        (
            {"MAX_AGE_SECONDS": "61"},
            "AGENTID_GATE_MAX_AGE_SECONDS: Input should be less than or equal to 60.",
        ),
        ({"PUBLIC_WITHOUT_SERIAL": "yes"}, "AGENTID_GATE_PUBLIC_WITHOUT_SERIAL: must be true or false."),
        ({"BIND_ADDRESS": "gate"}, "AGENTID_GATE_BIND_ADDRESS: must be an IP address"),
        ({"CALLER_FROM": "certificate"}, "Not JSON: AGENTID_GATE_ENFORCEMENT_POINTS is written like"),
        ({"CALLER_FROM": '["header"]'}, "AGENTID_GATE_CALLER_FROM (0): Input should be 'certificate'"),
        (
            {"ENFORCEMENT_POINTS": '[{"namespaces": ["a"]}]'},
            "AGENTID_GATE_ENFORCEMENT_POINTS (0): an enforcement",
        ),
        (
            {
                "ENFORCEMENT_POINTS": '[{"spiffeID": "spiffe://a/b", "namespaces": ["a"]}, '
                '{"spiffeID": "spiffe://a/b", "namespaces": ["b"]}]'
            },
            "AGENTID_GATE_ENFORCEMENT_POINTS: an enforcement point is listed twice.",
        ),
        ({"TLS_KEY_FILE": ""}, "AGENTID_GATE_TLS_CERTIFICATE_FILE and AGENTID_GATE_TLS_KEY_FILE go together"),
        (
            {"TLS_KEY_FILE": "", "TLS_CERTIFICATE_FILE": ""},
            "AGENTID_GATE_TLS_CERTIFICATE_FILE and AGENTID_GATE_TLS_KEY_FILE are missing",
        ),
        (
            {"INSECURE": "true"},
            "AGENTID_GATE_INSECURE is for AGENTID_GATE_BIND_ADDRESS 127.0.0.1 or ::1 only",
        ),
        ({"MORE": "1"}, "AGENTID_GATE_MORE is not a setting of the decision point; known are "),
    ],
)
def test_what_is_not_acceptable_stops_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(GateSettingsError) as caught:
        settings(monkeypatch, **changes)

    assert str(caught.value).startswith(said)


def test_what_kubernetes_puts_beside_a_service_of_that_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (
        settings(monkeypatch, SERVICE_HOST="10.0.0.1", PORT_8443_TCP="tcp://10.0.0.1:8443").http_port == 8443
    )


def test_files_that_are_not_there_or_do_not_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    files = settings(monkeypatch).tls()
    assert isinstance(files, TlsFiles)

    with pytest.raises(UnservableError, match=r"/tls/tls\.crt: No such file"):
        files.version()
    with pytest.raises(UnservableError, match="unusable certificate, key or client CA"):
        files.context()
