"""The chart's default policy: the text of the guide, installed once; the examples are allowed by it."""

from typing import Any

import pytest
import yaml

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.policy.accept import accept
from agentid.policy.engine import decide
from agentid.policy.layer import Layer
from agentid.policy.question import Environment, Person, Question
from agentid.policy.vocabulary import Action
from devcluster.places import CHECKOUT
from tests.rendering import Manifest, notes, of_kind, one, render
from tests.unit.policy_questions import NOTHING, NOW, UID

DEFAULT = (CHECKOUT / "deploy" / "policies" / "default.cedar").read_text(encoding="utf-8")
EXAMPLES = sorted((CHECKOUT / "deploy" / "examples").glob("*.yaml"))
WITH = "This installs ClusterAgentPolicy default"
WITHOUT = "No ClusterAgentPolicy is there, so nothing is allowed."


def test_the_default_policy_comes_unless_it_is_not_wanted() -> None:
    (policy,) = of_kind(render(), "ClusterAgentPolicy")

    assert policy["metadata"]["name"] == "default"
    assert policy["spec"] == {"cedar": DEFAULT}
    assert of_kind(render("policy.default.create=false"), "ClusterAgentPolicy") == []
    assert of_kind(render("replicaCount=0"), "ClusterAgentPolicy") == [policy]


def test_nothing_deletes_the_default_policy_to_make_it_anew() -> None:
    annotations = one(render(), "ClusterAgentPolicy", "default")["metadata"]["annotations"]

    assert annotations == {
        "helm.sh/hook": "post-install,post-upgrade",
        # Without any, Helm deletes what is there before it creates the object. Argo CD would in any case.
        "helm.sh/hook-delete-policy": "hook-failed",
        "argocd.argoproj.io/hook": "Skip",
    }


def test_notes_say_what_is_allowed_or_how_to_allow_something() -> None:
    assert WITH in notes()
    assert WITHOUT not in notes()
    without = notes("policy.default.create=false")
    assert WITHOUT in without
    assert WITH not in without
    assert "--show-only templates/policy.yaml | kubectl apply -f -" in without


def test_what_notes_say_of_the_default_policy_is_what_it_says() -> None:
    assert "activeDeadlineSeconds <= 28800" in DEFAULT
    assert "credential.ttlSeconds <= 900" in DEFAULT
    said = notes()
    assert "tasks of up to 8 hours" in said
    assert "15 minutes" in said


def documents(kind: str) -> list[tuple[str, Manifest]]:
    """The objects of a kind in the examples, with the files in which they are."""
    return [
        (path.stem, each)
        for path in EXAMPLES
        for each in of_kind(list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), kind)
    ]


AGENTS = {each["metadata"]["name"]: each for _, each in documents("Agent")}


def spec_of(manifest: Manifest) -> dict[str, Any]:
    """The spec of an object of an example."""
    spec: dict[str, Any] = manifest["spec"]
    return spec


@pytest.mark.parametrize(("name", "manifest"), documents("AgentTask"), ids=lambda each: str(each)[:20])
def test_the_default_policy_allows_every_example(name: str, manifest: Manifest) -> None:
    task = AgentTaskSpec.model_validate(spec_of(manifest))
    agent = AgentSpec.model_validate(spec_of(AGENTS[task.agent_ref.name]))
    question = Question(
        action=Action.ISSUE,
        namespace="default",
        agent=agent,
        task_name=manifest["metadata"]["name"],
        task_uid=UID,
        task=task,
        requester=Person("alice@example.com", ()),
        now=NOW,
        environment=Environment("prod.example.com", {}, {}),
        pod=None,
        delegator=task.on_behalf_of,
    )

    decision = decide(question, Layer.of([accept("ClusterAgentPolicy/default", DEFAULT)]), NOTHING)

    assert decision.allowed, f"{name}: {decision.message}"
