"""Builds the pinned programs once, into a cache outside the checkout, and tells where they are.

The folder's name is a hash of go.mod, go.sum and flags, so a changed pin is a new folder. A program
appears there by a rename, whole or not at all, and a lock keeps two builds from doing the work twice.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster import debian
from devcluster.errors import ToolBuildError
from devcluster.places import cache
from devcluster.progress import Step, step
from devcluster.tools import ALL as TOOLS_BY_NAME
from devcluster.tools import GROUPS, Tool

FROM_KUBEBUILDER = frozenset({"etcd", "kube-apiserver", "kubectl"})


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Build what is not there yet of these programs.

    Args:
        names: Names of programs in `devcluster.tools.ALL`.

    Returns:
        Where each of them is.

    Raises:
        ToolBuildError: Go is missing, or a build failed; the message ends with what the compiler said.
        PackagesMissingError: A C header is missing and can't be installed from here.
    """
    return {name: _given(name) or _built(TOOLS_BY_NAME[name]) for name in names}


def ensure_groups(groups: Iterable[str]) -> dict[str, Path]:
    """Build what is not there yet of these groups (`controlplane`, `node`, `helm`, `chartlint`, `opa`)."""
    return ensure([tool.name for group in groups for tool in GROUPS[group]])


def installed_or_built(name: str) -> Path:
    """A program for use on a cluster that was given: the one on PATH, as whoever has a cluster has it."""
    found = shutil.which(name)
    return Path(found).absolute() if found else ensure([name])[name]


def bin_folder(group: str) -> Path:
    """The folder of a group's programs, for PATH and for containerd; it may not exist yet."""
    digest = hashlib.sha256()
    for module in sorted({tool.module for tool in GROUPS[group]}):
        for name in ("go.mod", "go.sum"):
            digest.update((module / name).read_bytes())
    for tool in GROUPS[group]:
        digest.update("\0".join([tool.name, str(tool.cgo), tool.package, *tool.flags]).encode())
    return cache() / "tools" / f"{group}-{digest.hexdigest()[:16]}"


def _given(name: str) -> Path | None:
    """The program in `KUBEBUILDER_ASSETS`, where somebody downloaded it for tests like these."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or name not in FROM_KUBEBUILDER:
        return None
    program = Path(assets) / name
    return program if os.access(program, os.X_OK) else None


def _built(tool: Tool) -> Path:
    """The program in the cache, built now if it is not there."""
    folder = bin_folder(tool.group)
    program = folder / tool.name
    if program.exists():
        return program
    _go_or_raise(tool)
    if tool.debian:
        debian.ensure(*tool.debian, why=f"building {tool.name}")
    folder.mkdir(parents=True, exist_ok=True)
    with step(f"building {tool.name} (first run only)") as progress, _lock(folder, progress):
        if not program.exists():
            for stale in folder.glob(".build-*"):  # of a killed build: this one holds the lock
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
                fresh = Path(scratch) / tool.name
                _go_build(tool, fresh, progress)
                fresh.rename(program)
    return program


def _go_or_raise(tool: Tool) -> None:
    """Raise where there is no Go as new as the tool's go.mod asks for, nor one that fetches it by itself."""
    found = re.search(r"^go (\S+)$", (tool.module / "go.mod").read_text(), re.MULTILINE)
    needed = found.group(1) if found else "0"
    if shutil.which("go") is None:
        says = "none on PATH"
    else:
        # Asked in the module's folder, a Go that may switch to a newer one answers with that.
        done = subprocess.run(["go", "version"], cwd=tool.module, capture_output=True, text=True, check=False)
        version = re.search(r"\bgo(\d+(?:\.\d+)*)", done.stdout)
        if version and _numbers(version.group(1)) >= _numbers(needed):
            return
        says = (done.stdout or done.stderr).strip()
    raise ToolBuildError(
        f"{tool.name} has to be built: Go {needed} or newer is needed, found {says}. Install it from "
        "https://go.dev/dl; without it there is only `make cluster-up` on a cluster that you have: name its "
        "kubeconfig in AGENTID_KUBECONFIG, with kubectl and helm on PATH."
    )


def _numbers(version: str) -> tuple[int, int, int]:
    """A version of Go, to compare: 1.26 is 1.26.0."""
    major, minor, patch = [*map(int, version.split(".")), 0, 0][:3]
    return major, minor, patch


@contextmanager
def _lock(folder: Path, progress: Step) -> Iterator[None]:
    """Hold the folder's build lock; the kernel drops it when the holder dies."""
    with (folder / ".lock").open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress.still("another build is at it, waiting")
                time.sleep(0.5)
        yield


def _go_build(tool: Tool, target: Path, progress: Step) -> None:
    """Run the build; `-v` names each package as it is compiled, which is the progress shown."""
    flags = f"{os.environ.get('GOFLAGS', '')} -buildvcs=false".strip()
    environment = os.environ | {"CGO_ENABLED": "1" if tool.cgo else "0", "GOFLAGS": flags}
    progress.still("fetching modules")
    count = _run(tool, ["go", "list", "-deps", tool.package], environment, progress, "fetching modules")
    command = ["go", "build", "-v", *tool.flags, "-o", str(target), tool.package]
    _run(tool, command, environment, progress, len(count))


def _run(
    tool: Tool, command: list[str], environment: dict[str, str], progress: Step, shown: int | str
) -> list[str]:
    """Run a Go command, show how far it is, and return its lines.

    Args:
        tool: What is built.
        command: The Go command.
        environment: Its environment.
        progress: Where to show it.
        shown: What to show: a text, or the number of packages of which each line names one.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=tool.module,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        try:
            for line in running.stdout or ():
                lines.append(line.rstrip())
                if isinstance(shown, int):
                    progress.at(len(lines), shown, "packages")
                else:
                    progress.still(shown)
        except BaseException:
            running.kill()
            raise
    if running.returncode != 0:
        said = "\n".join(lines[-20:])
        raise ToolBuildError(f"building {tool.name} failed, `{' '.join(command)}` said:\n{said}")
    return lines
