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
    named = set(re.findall(r"\bagentid_\w+", ALERTS[name]["expr"]))

    assert named
    assert named <= METRICS
