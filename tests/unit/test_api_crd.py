"""The generated CRDs: everything described and bounded, and exactly the files that are checked in."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentid.api import crd, generate, kinds
from agentid.api.agentapproval import MAX_PROJECTION_LENGTH
from agentid.api.agentpolicy import MAX_CEDAR_LENGTH
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.decisioncheckpoint import MAX_REPORT_LENGTH
from agentid.api.ledgerbatch import MAX_RECORDS_LENGTH

LONG_TEXTS = {
    "cedar": MAX_CEDAR_LENGTH,
    "projection": MAX_PROJECTION_LENGTH,
    "records": MAX_RECORDS_LENGTH,
    "report": MAX_REPORT_LENGTH,
}
ROOT = Path(__file__).parents[2]
MAY_CHANGE = {"intent", "state", "stateReason", "requester", "stateChangedBy"}


def nodes(schema: crd.Schema, path: str = "") -> Iterator[tuple[str, crd.Schema]]:
    """Every part of a schema below apiVersion, kind and metadata, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        if path or name in ("spec", "status"):
            yield from nodes(part, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def schema_of(kind: kinds.Kind) -> crd.Schema:
    (version,) = crd.definition(kind)["spec"]["versions"]
    whole: crd.Schema = version["schema"]["openAPIV3Schema"]
    return whole


ALL_NODES = list(itertools.chain.from_iterable(nodes(schema_of(kind)) for kind in kinds.KINDS))


@pytest.mark.parametrize(("path", "node"), [(p, n) for p, n in ALL_NODES if not p.endswith("[]")])
def test_every_field_is_described(path: str, node: crd.Schema) -> None:
    description = node["description"]

    assert description[0].isupper() or description.startswith(("metadata.", "true:", "1 for")), path
    assert description.endswith("."), path


@pytest.mark.parametrize(("path", "node"), ALL_NODES)
def test_every_field_is_bounded(path: str, node: crd.Schema) -> None:
    match node["type"]:
        case "string":
            most = LONG_TEXTS.get(path.rpartition(".")[2], 2048)
            assert "enum" in node or node["maxLength"] <= most, path
        case "array":
            assert node["maxItems"] <= 64
            assert "x-kubernetes-list-type" in node
        case "integer":
            assert node["format"] == "int64"
            assert node["minimum"] >= 0
            assert node["maximum"] <= 2**53 - 1
        case "object":
            assert node["properties"]
            assert "additionalProperties" not in node
        case other:
            assert other == "boolean"


@pytest.mark.parametrize(("path", "node"), ALL_NODES)
def test_schemas_are_structural(path: str, node: crd.Schema) -> None:
    assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "nullable", "const"} & node.keys(), path
    assert node.get("default", "") is not None


def test_all_of_the_spec_but_intent_and_state_is_fixed() -> None:
    spec = schema_of(kinds.AGENT_TASK)["properties"]["spec"]
    said = "can't be changed after creation"
    fixed = {
        rule["fieldPath"].removeprefix(".")
        for rule in spec["x-kubernetes-validations"]
        if said in rule["message"]
    }

    assert fixed == {field.alias for field in AgentTaskSpec.model_fields.values()} - MAY_CHANGE


def test_every_rule_says_what_to_do() -> None:
    for path, node in ALL_NODES:
        for rule in node.get("x-kubernetes-validations", []):
            assert len(rule["message"]) > 30, path


@pytest.mark.parametrize(
    ("wide", "columns"),
    [
        (False, ["Agent", "Status", "Expires", "Age"]),
        (True, ["SPIFFE-ID", "Delegator", "Pod", "Credential-Expires"]),
    ],
)
def test_columns_of_tasks(wide: bool, columns: list[str]) -> None:  # noqa: FBT001 - parametrized
    assert [each.name for each in kinds.AGENT_TASK.columns if each.wide == wide] == columns


def test_columns_of_approvals() -> None:
    columns = [each.name for each in kinds.AGENT_APPROVAL.columns if not each.wide]

    assert columns == ["Task", "Decision", "Approver", "Expires", "Age"]


def test_an_approval_never_changes_and_has_nothing_but_its_spec() -> None:
    (version,) = crd.definition(kinds.AGENT_APPROVAL)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]

    rules = {rule["rule"] for rule in schema["properties"]["spec"]["x-kubernetes-validations"]}

    assert "self == oldSelf" in rules
    assert "status" not in schema["properties"]
    assert "subresources" not in version


@pytest.mark.parametrize("kind", [kinds.CLUSTER_AGENT_POLICY, kinds.AGENT_POLICY], ids=lambda kind: kind.name)
def test_columns_of_policies(kind: kinds.Kind) -> None:
    assert [each.name for each in kind.columns if not each.wide] == ["Accepted", "Digest", "Age"]


def test_only_the_cluster_s_policies_are_cluster_scoped() -> None:
    scopes = {kind.name: crd.definition(kind)["spec"]["scope"] for kind in kinds.KINDS}

    assert {name for name, scope in scopes.items() if scope == "Cluster"} == {"ClusterAgentPolicy"}


def test_names_and_categories() -> None:
    names: dict[str, Any] = {kind.name: crd.definition(kind)["spec"]["names"] for kind in kinds.KINDS}

    assert names["AgentTask"]["shortNames"] == ["atask"]
    assert names["AgentApproval"]["shortNames"] == ["aapproval"]
    assert names["LedgerBatch"]["shortNames"] == ["lbatch"]
    assert all(each["categories"] == ["agentid"] for each in names.values())


def test_an_object_that_may_be_left_out_gets_the_defaults_of_its_parts() -> None:
    properties = schema_of(kinds.AGENT_TASK)["properties"]["spec"]["properties"]

    assert properties["credential"]["default"] == {}
    assert properties["credential"]["properties"]["ttlSeconds"]["default"] == 300
    assert "default" not in properties["workload"]


@pytest.mark.parametrize("path", generate.generated())
def test_generated_files_are_checked_in(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generate.generated()[path]
