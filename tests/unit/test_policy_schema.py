"""The schema says what policies may ask about: all of it is documented, and all of it is given."""

from pathlib import Path

import cedarpy
import pytest

from agentid.lifecycle.model import PolicyAction
from agentid.policy import generate
from agentid.policy.question import Ancestor, Secret, Use
from agentid.policy.request import request
from agentid.policy.schema import schema, schema_text
from agentid.policy.vocabulary import ACTIONS, CONTEXT, PARAMETER, PRINCIPAL, RESOURCE, Action, Attribute
from tests.unit.policy_questions import PERMIT, cluster, question

ROOT = Path(__file__).parents[2]
FULL = {
    "delegator": "carol@example.com",
    "ancestors": (Ancestor("triage", "u", "triage-agent", "orchestrator"),),
    "secret": None,
}


def full(action: Action):
    extra = {
        Action.USE_SECRET: {"secret": Secret("legacy-crm-key", 900)},
        Action.USE_AUDIENCE: {"audience": "https://api.example.com"},
        Action.USE: {
            "use": Use(
                "orders:read", "order/4711", "crm", {"amount": 5, "why": "x", "dry": True}, "chat-83f1"
            )
        },
    }
    return question(action=action, **{**FULL, **extra.get(action, {})})


def paths(owner: str, attributes: tuple[Attribute, ...]) -> list[tuple[str, Attribute]]:
    return [
        path
        for each in attributes
        for path in [(f"{owner}.{each.name}", each), *paths(f"{owner}.{each.name}", each.parts)]
    ]


@pytest.mark.parametrize("path", generate.generated())
def test_generated_files_are_checked_in(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generate.generated()[path]


def test_every_action_of_the_design_is_there_and_says_when_it_is_asked() -> None:
    assert [row.action for row in ACTIONS] == list(Action)
    assert {row.evaluated for row in ACTIONS} == {"at issue", "at each call", "not in this version"}
    asked = {row.action.value for row in ACTIONS if row.evaluated == "at issue"}
    beside = {Action.DELEGATE.value, Action.USE_SECRET.value}
    assert asked == {each.value for each in PolicyAction} | beside
    assert schema_text().count("@evaluated(") == len(Action)


@pytest.mark.parametrize("action", Action)
def test_a_question_of_every_action_fits_the_schema(action: Action) -> None:
    asked = request(full(action))
    entities = cedarpy.Entities.from_json_str(asked.entities, schema())

    result = cedarpy.is_authorized(asked.as_cedar(), cluster(f"{PERMIT};").parsed, entities, schema())

    assert result.decision is cedarpy.Decision.Allow
    assert result.diagnostics.errors == []


@pytest.mark.parametrize(
    ("action", "path", "attribute"),
    [
        (action, path, attribute)
        for action, owner, attributes in [
            (Action.ISSUE, "principal", PRINCIPAL),
            (Action.ISSUE, "resource", RESOURCE),
            (Action.ISSUE, "context", CONTEXT),
            *((row.action, "context", row.context) for row in ACTIONS),
        ]
        for path, attribute in paths(owner, attributes)
    ],
)
def test_every_attribute_can_be_asked_for_and_is_given(
    action: Action, path: str, attribute: Attribute
) -> None:
    steps = path.split(".")
    guards = " && ".join(f"{'.'.join(steps[:n])} has {steps[n]}" for n in range(1, len(steps)))
    values = {
        "Long": f"{path} >= 0",
        "Bool": f"({path} || true)",
        "Set<String>": f'!{path}.contains("nobody")',
        "String": f'{path} != "nobody"',
        "datetime": f'{path} > datetime("2020-01-01")',
    }
    condition = f"{guards} && {values[attribute.type]}" if attribute.type in values else guards
    text = f'permit(principal, action == Action::"{action}", resource) when {{ {condition} }};'
    asked = request(full(action))
    entities = cedarpy.Entities.from_json_str(asked.entities, schema())

    result = cedarpy.is_authorized(asked.as_cedar(), cluster(text).parsed, entities, schema())

    assert result.allowed, (path, result.diagnostics.errors)


def test_a_parameter_is_text_number_or_flag() -> None:
    guard = 'context.parameters.hasTag("{0}") && context.parameters.getTag("{0}") has {1} && '
    conditions = [
        guard.format("amount", "number") + 'context.parameters.getTag("amount").number == 5',
        guard.format("why", "text") + 'context.parameters.getTag("why").text == "x"',
        guard.format("dry", "flag") + 'context.parameters.getTag("dry").flag',
    ]
    assert len(conditions) == len(PARAMETER)
    for condition in conditions:
        text = f'permit(principal, action == Action::"use", resource) when {{ {condition} }};'
        asked = request(full(Action.USE))
        entities = cedarpy.Entities.from_json_str(asked.entities, schema())
        assert cedarpy.is_authorized(asked.as_cedar(), cluster(text).parsed, entities, schema()).allowed


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "docker.io"),
        ("library/busybox:1", "docker.io"),
        ("registry.example.com/refund@sha256:" + "0" * 64, "registry.example.com"),
        ("localhost/refund", "localhost"),
        ("build:5000/refund", "build:5000"),
        ("registry.example.com", "docker.io"),
    ],
)
def test_the_registry_of_an_image_is_what_a_runtime_would_ask(image: str, registry: str) -> None:
    pod = question().pod
    assert pod is not None
    asked = request(question(pod=type(pod)("sa", (image,))))

    assert asked.context["imageRegistries"] == [registry]
    assert asked.context["imagesPinned"] == ("@sha256:" in image)
