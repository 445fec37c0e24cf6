"""Looks at pods as they run: their phase, and the files that their containers see."""

from collections.abc import Iterable
from datetime import timedelta

from cryptography import x509

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.e2e.objects import FOLDER

STARTED = timedelta(seconds=180)
"""How long a pod may take to start on a busy machine."""
SYNCED = timedelta(seconds=240)
"""How long a kubelet may take to bring a changed Secret into a running pod (about a minute by default)."""
PAUSE = timedelta(seconds=1)


def running(here: Kubectl, *names: str) -> None:
    """Wait until pods run."""
    for name in names:
        here.wait_for(
            "pod", name, lambda seen: seen["status"].get("phase") == "Running", STARTED, f"pod {name} runs"
        )


def sh(here: Kubectl, pod: str, script: str, container: str = "agent") -> str:
    """What a script prints in a container."""
    return here("exec", pod, f"--container={container}", "--", "sh", "-c", script)


def read(here: Kubectl, pod: str, file: str, container: str = "agent") -> str:
    """A file of the mounted credential, as a container reads it."""
    return sh(here, pod, f"cat {FOLDER}/{file}", container)


def sizes(here: Kubectl, pod: str) -> dict[str, int]:
    """How many bytes each file of the mounted credential has."""
    lines = sh(here, pod, f"cd {FOLDER} && for f in *; do echo $f $(wc -c < $f); done").split("\n")
    return {name: int(size) for name, _, size in (line.partition(" ") for line in lines if line)}


def serial(here: Kubectl, pod: str) -> str:
    """The serial of the mounted certificate, as a status writes it; "" where the file is empty."""
    chain = read(here, pod, "tls.crt").encode()
    return f"{x509.load_pem_x509_certificate(chain).serial_number:x}" if chain else ""


def emptied(here: Kubectl, pod: str) -> None:
    """Wait until a running container finds all files of the credential there and nothing in them."""
    wait_until(
        f"the files in pod {pod} are empty",
        lambda: sizes(here, pod),
        lambda seen: "tls.key" in seen and not any(seen.values()),
        within=SYNCED,
        every=PAUSE,
    )


def holds(here: Kubectl, pod: str, wanted: str) -> None:
    """Wait until a running container finds the certificate with this serial."""
    wait_until(
        f"the certificate in pod {pod} has serial {wanted}",
        lambda: serial(here, pod),
        lambda seen: seen == wanted,
        within=SYNCED,
        every=PAUSE,
    )


def is_over(here: Kubectl, pod: str) -> Object:
    """Wait until a pod has run to its end."""
    return here.wait_for(
        "pod",
        pod,
        lambda seen: seen["status"].get("phase") in {"Succeeded", "Failed"},
        STARTED,
        f"pod {pod} has run to its end",
    )


def restarts(of: Object) -> Iterable[int]:
    """How often each container of a pod was started again."""
    return [each["restartCount"] for each in of["status"]["containerStatuses"]]
