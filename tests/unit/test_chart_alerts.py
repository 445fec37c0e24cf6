"""Each alert of the chart has its runbook, and tells of metrics that there are."""

import re

import pytest

from devcluster.places import CHECKOUT
from tests.rendering import Manifest, one, render

OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
METRICS = set(re.findall(r"^\| `(agentid_\w+)` \|", OPERATIONS, re.MULTILINE))


def alerts(*values: str) -> list[Manifest]:
    objects = render("monitoring.alerts=true", *values)
    (group,) = one(objects, "PrometheusRule", "agentid-operator")["spec"]["groups"]
    rules: list[Manifest] = group["rules"]
    return rules


ALERTS = {each["alert"]: each for each in alerts()}


def runbooks() -> dict[str, str]:
    """The sections of alerts in docs/operations.md, by name."""
    return dict(re.findall(r"^### (Agentid\w+)\n(.*?)(?=^##)", OPERATIONS, re.MULTILINE | re.DOTALL))


TOLD = {
    "agentid_ledger_usable": "AgentidLedgerStuck",
    "agentid_ledger_lag_seconds": "AgentidLedgerStuck",
    "agentid_ledger_whole": "AgentidLedgerNotWhole",
    "agentid_break_glass_total": "AgentidBreakGlassUsed",
    "agentid_crl_lag_seconds": "AgentidRevocationLate",
    "agentid_crl_age_seconds": "AgentidRevocationLate",
    "agentid_crl_truncated": "AgentidRevocationLate",
    "agentid_crl_in_parts": "AgentidCrlInParts",
    "agentid_sink_lag_seconds": "AgentidSinkBehind",
    "agentid_gate_view_age_seconds": "AgentidGateViewStale",
    "agentid_gate_crl_behind_seconds": "AgentidGateCrlBehind",
    "agentid_gate_log_usable": "AgentidGateLogStuck",
    "agentid_gate_log_waiting_lines": "AgentidGateLogStuck",
    "agentid_gate_log_lost_lines": "AgentidGateLogLost",
    "agentid_gate_report_waiting_seconds": "AgentidGateReportStuck",
}
"""What of ledger, revocation and decision point somebody has to be told, and by which alert."""


def metrics_in(name: str) -> set[str]:
    return set(re.findall(r"\bagentid_\w+", ALERTS[name]["expr"]))


@pytest.mark.parametrize("metric", TOLD)
def test_what_ledger_revocation_and_decision_point_must_not_keep_to_themselves_is_told(metric: str) -> None:
    assert metric in metrics_in(TOLD[metric])


def test_each_metric_of_the_decision_log_and_its_reports_has_an_alert() -> None:
    of_the_log = {each for each in METRICS if each.startswith(("agentid_gate_log_", "agentid_gate_report_"))}
    assert of_the_log
    assert of_the_log <= TOLD.keys()


def test_alerts_and_runbooks_are_the_same_set() -> None:
    assert ALERTS.keys() == runbooks().keys()
    assert len(ALERTS) == len(alerts())


@pytest.mark.parametrize("name", ALERTS)
def test_the_runbook_says_when_what_it_means_and_what_to_do(name: str) -> None:
    text = runbooks()[name]
    alert = ALERTS[name]

    assert f"`{alert['expr']}`" in text
    assert f"for {alert['for']}" in text if "for" in alert else "at once" in text
    assert alert["labels"]["severity"] in text
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in text, part


@pytest.mark.parametrize("name", ALERTS)
def test_the_link_leads_to_the_runbook(name: str) -> None:
    url = ALERTS[name]["annotations"]["runbook_url"]

    file, _, anchor = url.partition("#")
    assert f"### {name}\n" in (CHECKOUT / file).read_text(encoding="utf-8")
    assert anchor == name.lower()


def test_the_link_leads_to_where_the_document_is_published() -> None:
    published = alerts("monitoring.runbookUrl=https://docs.example.com/agentid/operations")

    assert all(
        each["annotations"]["runbook_url"].startswith("https://docs.example.com/agentid/operations#agentid")
        for each in published
    )


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_of_metrics_that_there_are(name: str) -> None:
    named = metrics_in(name)

    assert named
    assert named <= METRICS
