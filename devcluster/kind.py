"""A cluster of kind, for machines with Docker: `make kind-up`, the e2e suite on it, `make kind-down`."""

import shlex
import shutil
import subprocess

from devcluster import build, images, operator_image
from devcluster.errors import CommandError, StartError
from devcluster.operator_pod import GIVEN_IMAGE
from devcluster.places import CHECKOUT, RUN_FOLDER
from devcluster.progress import say, step
from devcluster.standing import GIVEN

NAME = "agentid"
CONFIG = CHECKOUT / "deploy" / "kind" / "cluster.yaml"
KUBECONFIG = RUN_FOLDER / "kind.kubeconfig"
VARIABLES = RUN_FOLDER / "kind.env"
READY = "--wait=180s"


def up() -> None:
    """Start the cluster, bring the operator's image to its node, and print what makes other commands use it.

    Raises:
        StartError: There is no Docker engine.
        ToolBuildError: kind could not be built.
        CommandError: Docker or kind said no.
    """
    _docker_or_raise()
    kind = build.installed_or_built("kind")
    image = operator_image.built_with_docker()
    RUN_FOLDER.mkdir(exist_ok=True)
    with step("starting a cluster of kind"):
        if NAME in _run(str(kind), "get", "clusters").split():
            _run(str(kind), "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={KUBECONFIG}")
        else:
            _run(
                *(str(kind), "create", "cluster", f"--name={NAME}", READY),
                *(f"--config={CONFIG}", f"--kubeconfig={KUBECONFIG}"),
            )
    with step("loading the operator's image"):
        _run(str(kind), "load", "image-archive", f"--name={NAME}", str(image.archive))
    variables = {
        GIVEN: str(KUBECONFIG),
        GIVEN_IMAGE: str(image),
        "AGENTID_E2E_BUSYBOX": images.EXAMPLES_BUSYBOX,
        # It holds what programs of test pods import, and the node has it.
        "AGENTID_E2E_PYTHON": str(image),
    }
    VARIABLES.write_text(
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    )
    say("To use it from this shell, for `make e2e` or `make cluster-up` (kubectl and helm from PATH):")
    print(f"source {shlex.quote(str(VARIABLES))}")


def down() -> None:
    """End the cluster; nothing where none is up."""
    _docker_or_raise()
    with step("ending the cluster of kind"):
        _run(str(build.installed_or_built("kind")), "delete", "cluster", f"--name={NAME}")
        for path in (KUBECONFIG, VARIABLES):
            path.unlink(missing_ok=True)


def _docker_or_raise() -> None:
    """Raise where no Docker engine answers, which kind runs its nodes in."""
    if shutil.which("docker") is None:
        raise StartError("kind takes Docker, and there is none on PATH; without it: make cluster-up NODE=1")
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise StartError(
            f"kind takes a Docker engine, and none answers: {said}; without: make cluster-up NODE=1"
        )


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError([*command], done.returncode, done.stderr)
    return done.stdout
