"""Takes CRDs out of a cluster."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

_GONE = timedelta(minutes=3)
_BETWEEN = timedelta(seconds=5)


def delete_crds(kubectl: Kubectl, names: Iterable[str]) -> None:
    """Delete these CRDs, those that are there, and wait until they are gone.

    The API server's finalizer may meet a storage that is being set up. It tries again with pauses that grow
    to minutes, or at once where the CRD is written.
    """
    wanted = tuple(names)
    kubectl("delete", "crds", *wanted, "--ignore-not-found", "--wait=false")

    def left() -> list[str]:
        found = kubectl("get", "crds", *wanted, "--ignore-not-found", "--output=name").split()
        # One of them may be gone by now.
        with suppress(KubectlError):
            kubectl("label", *found, "look-again=true", "--overwrite")
            kubectl("label", *found, "look-again-")
        return found

    wait_until("the CRDs are gone", left, lambda found: not found, within=_GONE, every=_BETWEEN)
