"""The operator's rights on Secrets are taken away at an end: it is told, and done once they are back."""

import time
from datetime import timedelta

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import ANY_POD, pod, task
from tests.fault_table import record

BINDING = "agentid-operator-credentials"
SLOWLY = timedelta(seconds=90)
BOUND = timedelta(seconds=75)


def test_end_without_rights_on_secrets_is_told_and_done_once_they_are_back(
    cluster: ControlPlane, admin: Kubectl, team: Kubectl, operator: OperatorProcess
) -> None:
    team.create([task("deleted"), task("wiped", **ANY_POD), pod("wiped", of="wiped")])
    for name in ("deleted", "wiped"):
        story.runs(team, name)
    playing.start(team, "wiped")
    binding = admin.get("clusterrolebinding", BINDING)
    admin.delete("clusterrolebinding", BINDING)
    try:
        team.patch("agenttask", "deleted", {"spec": {"state": "Ended"}})
        team.patch("agenttask", "wiped", {"spec": {"state": "Ended"}})
        for name in ("deleted", "wiped"):
            over = team.wait_for(
                "agenttask",
                name,
                lambda seen: story.conditions(seen).get("Stalled", {}).get("reason") == "CleanupDelayed",
                SLOWLY,
                f"{name} says that its Secret could not be cleaned up",
            )
            assert story.standing(over) == "Ended", "the status denies already"
            assert story.serials(over) == []
            assert "403" in story.conditions(over)["Stalled"]["message"]
    finally:
        for each in ("uid", "resourceVersion", "creationTimestamp"):
            del binding["metadata"][each]
        admin.create(binding)
    back = time.monotonic()

    story.secret_gone(team, "deleted", BOUND)
    story.secret_emptied(team, "wiped", BOUND)
    took = time.monotonic() - back
    playing.finish(team, "wiped")
    story.secret_gone(team, "wiped")
    assert made_and_deleted(cluster, team, "deleted", "wiped") == {"deleted": (1, 1), "wiped": (1, 1)}
    for name in ("deleted", "wiped"):
        team.wait_for("agenttask", name, lambda seen: "Stalled" not in story.conditions(seen), SLOWLY)
    assert operator.alive()
    record(
        "rights on Secrets removed",
        "an end",
        bound=f"{BOUND.total_seconds():g} s after they are back; the status denies at once",
        seen=f"{took:.1f} s",
    )
