"""The documents name all that the code can tell, and nothing in them is left open."""

import ast
import re
from enum import StrEnum
from pathlib import Path

import pytest

from agentid.api.reasons import ConditionType, EndReason, EventReason, IssueReason, RunReason, WaitReason
from agentid.controller.settings import PREFIX, Settings
from devcluster.places import CHECKOUT

DOCS = CHECKOUT / "docs"
SOURCE = CHECKOUT / "operator" / "agentid"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
TOLD = (ConditionType, WaitReason, RunReason, EndReason, IssueReason, EventReason)
LEVELS_TO_ACT_ON = {"warning", "error", "exception", "critical"}


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


def messages_to_act_on() -> set[str]:
    """The constant messages of all log lines above INFO."""
    found = set()
    for text in texts_of_the_code().values():
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS_TO_ACT_ON
                and ast.unparse(node.func.value) in {"_log", "log"}
            ):
                found.add(ast.literal_eval(node.args[0]))
    assert "lease lost" in found
    return found


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


@pytest.mark.parametrize("message", sorted(messages_to_act_on()))
def test_every_log_message_above_info_is_explained(message: str) -> None:
    assert f"`{message}`" in OPERATIONS


def test_the_settings_that_are_explained_are_those_that_there_are() -> None:
    rows = set(re.findall(rf"^\| `({PREFIX}\w+)` \|", CONFIGURATION, re.MULTILINE))

    assert rows == {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize(
    "path", [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_nothing_is_left_to_be_filled_in(path: Path) -> None:
    assert "<!--" not in path.read_text(encoding="utf-8")
