"""One label on a CronJob that runs by its schedule: each run has an identity of its own, and loses it."""

from datetime import timedelta

import pytest
from cryptography import x509

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import ACCOUNT
from tests.cluster.templates import TEMPLATE, template
from tests.e2e import inside
from tests.e2e.objects import container, pod_spec

READS_KEY = "test -s $SPIFFE_CREDENTIAL_FOLDER/tls.key && cat $SPIFFE_CREDENTIAL_FOLDER/tls.crt"
TWO_RUNS = timedelta(minutes=4)


def every_minute() -> Object:
    """A CronJob whose pods ask for the template's task and print their certificate."""
    pod = {
        "metadata": {"labels": {"agentid.dev/template": TEMPLATE}},
        "spec": pod_spec(container("sh", "-c", READS_KEY)),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "settle"},
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"backoffLimit": 0, "activeDeadlineSeconds": 300, "template": pod}},
        },
    }


def printed_identities(here: Kubectl, job: str) -> list[str]:
    """The SPIFFE IDs in the certificate that a Job's pod has read."""
    leaf = x509.load_pem_x509_certificate(here("logs", f"job/{job}").encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


@pytest.mark.timeout(420)  # its schedule is by the minute
def test_each_run_of_a_cron_job_has_an_identity_of_its_own_and_it_ends_with_the_run(team: Kubectl) -> None:
    team.create(template(workload={"serviceAccountName": ACCOUNT}))
    team.create(every_minute())

    def standings() -> dict[str, str]:
        return {each["metadata"]["name"]: story.standing(each) for each in team.list("agenttasks")}

    seen = wait_until(
        "two runs are completed",
        standings,
        lambda seen: list(seen.values()).count("Completed") > 1,
        within=TWO_RUNS,
        every=inside.PAUSE,
    )
    team.patch("cronjob", "settle", {"spec": {"suspend": True}})
    runs = [team.get("agenttask", name) for name, standing in seen.items() if standing == "Completed"]
    for each in runs:
        name = each["metadata"]["name"]
        assert each["spec"]["templateRef"]["name"] == TEMPLATE
        assert printed_identities(team, name) == [each["status"]["spiffeID"]]
        story.secret_gone(team, name)
    assert len({each["status"]["spiffeID"] for each in runs}) == len(runs)

    gone = runs[0]["metadata"]["name"]
    team.delete("job", gone)
    wait_until("the task goes with its Job", lambda: team.find("agenttask", gone), lambda seen: seen is None)
