"""A finalizer of kopf's that was forged before admission was in force holds the object, and no end."""

from functools import partial

from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.cluster.unguarded import once_let, without

FORGED = {"metadata": {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}}


def test_a_task_with_a_forged_finalizer_ends_and_its_credential_goes(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("deleted"), task("ended")])
    for name in (TASK, "deleted", "ended"):
        story.runs(team, name)
    with without(admin, "kopf-annotations.agentid.dev"):
        for name in (TASK, "deleted", "ended"):
            once_let(partial(team.patch, "agenttask", name, FORGED))
        once_let(partial(team.patch, "pod", POD, FORGED))
    operator.restart()

    team("delete", "agenttask", "deleted", "--wait=false")
    team.patch("agenttask", "ended", {"spec": {"state": "Ended"}})
    playing.finish(team, POD)

    story.ends(team, "Deleted", "deleted")
    story.ends(team, "Ended", "ended")
    story.ends(team, "Completed")
    for name in (TASK, "deleted", "ended"):
        story.secret_gone_or_empty(team, name)
    held = team.get("agenttask", "deleted")
    assert held["metadata"]["finalizers"] == FORGED["metadata"]["finalizers"], "the operator takes none off"
    for kind, name in (("agenttask", "deleted"), ("pod", POD)):
        team.patch(kind, name, {"metadata": {"finalizers": None}})
    team.wait_gone("agenttask", "deleted")
    team.create(task("next"))
    story.runs(team, "next")
