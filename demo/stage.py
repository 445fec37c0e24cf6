"""What the story needs of pods, wherever they run."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

NAMESPACE: Final = "support"
PROGRAMS: Final = Path(__file__).parent / "agents"
MANIFESTS: Final = Path(__file__).parent / "manifests"
ENFORCEMENT_POINTS: Final = [
    {"serviceAccount": {"namespace": NAMESPACE, "name": "orders-api"}, "namespaces": [NAMESPACE]}
]
"""Who may ask the decision point, and about whom."""
SOON: Final = timedelta(seconds=30)
POD_START: Final = timedelta(seconds=90)


class Stage(Protocol):
    """A place where the demo's pods run."""

    def orders_api(self, pod: str = "orders-api") -> str:
        """Bring the orders API of a pod up and return its address, `host:port`."""

    def decision_point(self) -> dict[str, Any]:
        """Bring the decision point up; return what has to be in the spec of a pod that asks it."""

    def scheduled(self, task: str) -> str:
        """Let the pod of a task have its node, where it waits for its Secret, and return its name."""

    def job(self, name: str) -> str:
        """Let the Job's pod run to its end and return what it printed."""

    def up(self, pod: str) -> None:
        """Bring the pod to `Running`."""

    def steal(self, pod: str) -> None:
        """Copy the mounted credential aside, as a thief inside the pod would."""

    def call_with_copy(self, pod: str, address: str) -> str:
        """Call the orders API with what was stolen in the pod and return what came of it."""

    def key_size(self, pod: str) -> int:
        """Return the size in bytes of the mounted private key."""
