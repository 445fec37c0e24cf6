"""An installation as the doctor sees it, for tests of its verdicts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agentid.api.admission import AdmissionSettings, rule_keys, rules
from agentid.doctor.finding import Finding

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SETTINGS = AdmissionSettings("agentid-system", "agentid")


def installed(settings: AdmissionSettings) -> dict[tuple[str, str], Mapping[str, Any] | None]:
    """Every rule as the API server would have it, labelled as the chart does."""
    labels = {"app.kubernetes.io/version": "0.1.0"}
    found: dict[tuple[str, str], Mapping[str, Any] | None] = dict.fromkeys(rule_keys())
    for rule in rules(settings):
        found[rule.kind, rule.name] = {
            "metadata": {"name": rule.name, "labels": labels},
            "spec": rule.manifest["spec"],
        }
    return found


def one(findings: list[Finding]) -> Finding:
    """The only finding that there is."""
    assert len(findings) == 1, findings
    return findings[0]
