"""While watches are silent nothing is issued, renewals included; ends go on, and all resumes by itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import EVERYTHING
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.in_this_process import InThisProcess
from tests.cluster.intercepting import Interceptor
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import pod, task
from tests.cluster.policies import PERMIT_ALL, agent_policy

STALE_SECONDS = 10.0
"""In place of two minutes; the watches are kept talking meanwhile, as bookmarks do once a minute."""
TALK_SECONDS = 2.0
BOOKMARKS = timedelta(minutes=3)
"""Twice as long as the API server waits between two, and more."""


@contextmanager
def talking(here: Kubectl) -> Iterator[None]:
    """Have every watch bring something every other second, within the block."""
    over = threading.Event()

    def talk() -> None:
        said = 0
        while not over.wait(TALK_SECONDS):
            said += 1
            here(
                "annotate",
                "agent/refund-agent",
                "agenttask/bystander",
                "pod/bystander",
                "agentpolicy/bystander",
                f"clusteragentpolicy/{EVERYTHING['metadata']['name']}",
                f"namespace/{here.namespace}",
                f"said={said}",
                "--overwrite",
            )

    policy = agent_policy(PERMIT_ALL, "bystander")
    here.create([task("bystander"), pod("bystander", of="bystander"), policy])
    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@pytest.fixture
def interceptor(
    cluster: ControlPlane, operator_of_session: OperatorProcess, no_operator: None
) -> Iterator[Interceptor]:
    """The operator's way to the API server; no other operator runs."""
    assert no_operator is None
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        yield proxy


def test_a_stale_view_issues_and_renews_nothing_but_ends_and_recovers(
    place: Kubectl, cluster: ControlPlane, interceptor: Interceptor
) -> None:
    operator = InThisProcess(interceptor, stale_seconds=STALE_SECONDS)
    with talking(place), operator.running():
        operator.wait_ready()
        brief = {"credential": {"ttlSeconds": 30}}
        place.create([task("renewed", **brief), task("ended", activeDeadlineSeconds=30, **brief)])
        renewed = story.runs(place, "renewed")
        story.runs(place, "ended")
        interceptor.silent.set()
        try:
            wait_until("the view is stale", operator.why_not_ready, lambda seen: "been silent since" in seen)
            assert "nothing is issued: the watch of /" in operator.why_not_ready()
            assert operator.parts.probes.unhealthy() == []

            story.ends(place, "Expired", "ended")
            story.secret_gone(place, "ended")
            waits = story.stands(place, "IssuanceBlocked", "renewed")
            assert "has been silent since" in story.conditions(waits)["Finished"]["message"]
            assert waits["status"].get("credentials", []) == []
        finally:
            interceptor.silent.clear()
        # Watches of which there is nothing to tell are heard of again with their next bookmark.
        wait_until("the view is fresh", operator.why_not_ready, lambda seen: not seen, within=BOOKMARKS)
        again = story.runs(place, "renewed")
        assert story.serials(again) != story.serials(renewed)
        assert made_and_deleted(cluster, place, "ended") == {"ended": (1, 1)}
