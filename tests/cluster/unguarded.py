"""Takes one admission rule out of force for a moment, as before the chart was installed, and puts it back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.in_force import wait_until_in_force


@contextmanager
def without(admin: Kubectl, rule: str) -> Iterator[None]:
    """Have the API server not apply the validating rule `rule` within the block."""
    binding = admin.get("validatingadmissionpolicybinding", rule)
    admin.delete("validatingadmissionpolicybinding", rule)
    try:
        yield
    finally:
        put_back(admin, as_written(binding))
        wait_until_in_force(admin)


def once_let(do: Callable[[], object]) -> None:
    """Do what a rule that is no longer applied refused a moment ago."""

    def attempt() -> str:
        try:
            do()
        except KubectlError as refusal:
            return refusal.stderr
        return ""

    wait_until("it is let", attempt, lambda refused: not refused, within=timedelta(seconds=60))


def put_back(admin: Kubectl, installed: Object) -> None:
    """Have an object of the chart as it was installed, and Helm's again, so that an upgrade may change it."""
    if admin.find(installed["kind"], installed["metadata"]["name"]) is not None:
        # To apply it takes nothing off that somebody else has added.
        admin.replace(installed)
    admin.apply(installed, "--server-side", "--field-manager=helm", "--force-conflicts")


def as_written(found: Object) -> Object:
    """An object as it can be created again: without what the API server adds."""
    kept = {
        key: value for key, value in found["metadata"].items() if key in {"name", "labels", "annotations"}
    }
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": kept, "spec": found["spec"]}
