"""The documents name all that the code can tell, and nothing in them is left open."""

import ast
import re
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest
import yaml

from agentid.api.reasons import (
    ConditionType,
    EndReason,
    EventAction,
    EventReason,
    IssueReason,
    RunReason,
    WaitReason,
)
from agentid.controller.settings import PREFIX, Settings
from agentid.gate.answer import Reason as GateReason
from agentid.gate.settings import PREFIX as GATE_PREFIX
from agentid.gate.settings import GateSettings
from agentid.ledger.audit_finding import AuditKind
from agentid.ledger.finding import FindingKind
from agentid.lifecycle.journal import Entry, Kind
from devcluster.places import CHECKOUT

DOCS = CHECKOUT / "docs"
SOURCE = CHECKOUT / "operator" / "agentid"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
TOLD = (ConditionType, WaitReason, RunReason, EndReason, IssueReason, EventReason, EventAction)
LEVELS = {
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\bagentid_[a-z_]+", text))


def texts_of_the_code() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}


def metrics_of_the_code() -> set[str]:
    quoted = {
        name for text in texts_of_the_code().values() for name in re.findall(r'"(agentid_[a-z_]+)"', text)
    }
    assert "agentid_admission_in_force" in quoted
    return quoted


def section(title: str) -> str:
    """The text below the heading `## title`."""
    return OPERATIONS.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> set[str]:
    """What stands in backticks in the first cells of tables."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def log_messages() -> set[tuple[str, str]]:
    """Level and constant message of all log lines from INFO up."""
    found = set()
    for text in texts_of_the_code().values():
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and ast.unparse(node.func.value) in {"_log", "log"}
            ):
                found.add((LEVELS[node.func.attr], ast.literal_eval(node.args[0])))
    assert {("ERROR", "lease lost"), ("INFO", "leading")} <= found
    return found


def log_rows() -> set[tuple[str, str]]:
    """Level and message of each row in the table of log messages."""
    rows = re.findall(r"^\| ([A-Z]+) \| ([^|]*) \|", section("Log messages"), re.MULTILINE)
    return {(level, message) for level, cell in rows for message in re.findall(r"`([^`]+)`", cell)}


ALERTS: list[dict[str, str]] = yaml.safe_load(
    (CHECKOUT / "charts" / "agentid" / "alerts.yaml").read_text(encoding="utf-8")
)["alerts"]


@pytest.mark.parametrize("member", [each for kind in TOLD for each in kind], ids=repr)
def test_every_condition_and_reason_is_explained(member: StrEnum) -> None:
    assert f"`{member.value}`" in OPERATIONS


@pytest.mark.parametrize("reasons", [WaitReason, EndReason, IssueReason])
def test_every_condition_reason_has_a_row(reasons: type[StrEnum]) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", OPERATIONS, re.MULTILINE))

    assert {each.value for each in reasons} <= rows


def test_the_metrics_that_are_explained_are_those_that_there_are() -> None:
    rows = set(re.findall(r"^\| `(agentid_\w+)` \|", OPERATIONS, re.MULTILINE))

    assert rows == metrics_of_the_code()
    assert metrics_in(OPERATIONS) == rows


def test_every_log_message_is_explained() -> None:
    assert log_messages() == log_rows()


@pytest.mark.parametrize(
    "reason", [each for each in EventReason if each is not EventReason.POD_BOUND], ids=str
)
def test_every_event_reason_has_a_row(reason: EventReason) -> None:
    assert reason.value in first_cells(section("Events"))


def test_every_event_action_is_explained() -> None:
    assert {each.value for each in EventAction} <= first_cells(section("Events"))


def test_every_alert_has_a_runbook() -> None:
    runbooks = dict(re.findall(r"^### (Agentid\w+)\n(.*?)(?=^##)", OPERATIONS, re.MULTILINE | re.DOTALL))

    assert [each["name"] for each in ALERTS] == list(runbooks)
    for alert in ALERTS:
        text = runbooks[alert["name"]]
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", alert["name"]).lower()
        assert f'<a id="runbook-{kebab}"></a>' in text
        assert f"`{alert['expression']}`" in text
        how = f"for {alert['for']}" if "for" in alert else "at once"
        assert f"{how}, {alert['severity']}." in text
        assert [part in text for part in ("**Means**", "**Look**", "**Do**")] == [True] * 3
        assert metrics_in(alert["expression"])
        assert metrics_in(alert["expression"]) <= metrics_of_the_code()


@pytest.mark.parametrize(
    "path", [CHECKOUT / "SECURITY.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name
)
def test_every_link_to_a_heading_leads_to_one(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", path.read_text(encoding="utf-8")):
        text = (path.parent / target if target else path).read_text(encoding="utf-8")
        anchors = {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        anchors.update(re.findall(r'<a id="([\w-]+)"></a>', text))
        assert anchor in anchors, f"{target}#{anchor}"


def anchor_of(heading: str) -> str:
    """The anchor that a heading has where Markdown is shown."""
    return re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-")


def test_the_settings_that_are_explained_are_those_that_there_are() -> None:
    rows = set(re.findall(rf"^\| `({PREFIX}\w+)` \|", CONFIGURATION, re.MULTILINE))

    of_the_operator = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    assert rows == of_the_operator | {f"{GATE_PREFIX}{field.upper()}" for field in GateSettings.model_fields}


@pytest.mark.parametrize(
    "path",
    [CHECKOUT / "README.md", CHECKOUT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda path: path.name,
)
def test_nothing_is_left_to_be_filled_in(path: Path) -> None:
    assert "<!--" not in path.read_text(encoding="utf-8")


def test_what_verification_finds_is_explained_kind_by_kind() -> None:
    guide = (DOCS / "audit.md").read_text(encoding="utf-8")
    explained = guide.split("\n## What a finding means\n", 1)[1].split("\n## ", 1)[0]
    assert first_cells(explained) == {each.value for kind in (FindingKind, AuditKind) for each in kind}


def test_the_record_is_explained_field_by_field_and_kind_by_kind() -> None:
    explained = section("The record")

    assert first_cells(explained) - {"field"} == {each.name for each in fields(Entry)} - {"schema"}
    assert {f"`{each.value}`" for each in Kind} <= set(re.findall(r"`\w+`", explained))


def test_every_reason_of_the_decision_point_is_explained() -> None:
    assert first_cells(section("Answers of the decision point")) - {"reason"} == {
        each.value for each in GateReason
    }
