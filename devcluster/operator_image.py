"""The operator's image, built from the checkout's Dockerfile without a registry.

Its base is a small Debian made by debootstrap, its builder Debian's buildah. What comes of it is a
docker-archive in the cache, named by a hash of all that goes in, and so is the image's tag: changed code is
another image. One that was not used for two days is removed when another is used.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from devcluster import debian, images
from devcluster.errors import CommandError, PackagesMissingError
from devcluster.places import CHECKOUT
from devcluster.progress import Step

REPOSITORY = "localhost/agentid"
BASE = "localhost/agentid-base:dev"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# Nor does an operator read character sets and time zones, or bytecode other than its image's own.
UNREAD = (*images.UNREAD, "usr/lib/*/gconv", "usr/share/zoneinfo", "usr/lib/python3*/**/__pycache__")
SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "operator")
# Part of the archive's name in the cache: raise it with any change to how it is built.
RECIPE = "1"
KEPT = timedelta(days=2)
WHY = "the operator's image"
CERTIFICATES = Path("/etc/ssl/certs")


@dataclass(frozen=True, slots=True)
class OperatorImage:
    """An image of the operator.

    Attributes:
        repository: Its name without the tag.
        tag: Its tag.
        archive: The docker-archive that holds it; None where nodes have it already or pull it.
    """

    repository: str
    tag: str
    archive: Path | None = None

    def __str__(self) -> str:
        """Its whole name."""
        return f"{self.repository}:{self.tag}"


def built() -> OperatorImage:
    """The image of the checkout as it is, built now if it is not in the cache.

    Raises:
        PackagesMissingError: This is not root, or Debian's buildah or debootstrap is not to be had.
        CommandError: A step of the Dockerfile failed; the message ends with what it printed.
    """
    version = tag()
    name = f"{REPOSITORY}:{version}"

    def write(target: Path, progress: Step) -> None:
        _write(target, name, progress)

    archive = images.cached(
        "operator", (RECIPE, version, *_base_recipe()), write, "building the operator's image"
    )
    _remove_unused(archive)
    return OperatorImage(REPOSITORY, version, archive)


def built_with_docker() -> OperatorImage:
    """The same image on the Dockerfile's own base, built and saved by a Docker engine."""
    version = tag()
    name = f"{REPOSITORY}:{version}"

    def write(target: Path, progress: Step) -> None:
        _run(["docker", "build", f"--tag={name}", str(CHECKOUT)], progress)
        _run(["docker", "save", f"--output={target}", name], progress)

    archive = images.cached("docker", (RECIPE, version), write, "building the operator's image with Docker")
    _remove_unused(archive)
    return OperatorImage(REPOSITORY, version, archive)


def _remove_unused(archive: Path) -> None:
    """Remove archives of earlier code, and take note that this one is in use."""
    archive.touch()
    kind, _, _ = archive.name.rpartition("-")
    for other in archive.parent.glob(f"{kind}-*.tar"):
        with suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > KEPT.total_seconds():
                other.unlink()


def tag() -> str:
    """A hash of all that the image is made of."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(f"{path.relative_to(CHECKOUT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _files() -> Iterator[Path]:
    """The files that the image is made of, in a fixed order."""
    for source in map(CHECKOUT.joinpath, SOURCES):
        if source.is_file():
            yield source
        else:
            yield from sorted(
                path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
            )


def _base_recipe() -> tuple[object, ...]:
    return (images.RECIPE, BASE_PACKAGES, UNREAD)


def _write(target: Path, name: str, progress: Step) -> None:
    """Build the image in a storage of its own, which goes afterwards."""
    _root_or_raise()
    debian.ensure("buildah", why=WHY)
    base = images.cached(
        "base",
        _base_recipe(),
        lambda base, _: images.write_debian(base, BASE, BASE_PACKAGES, WHY, UNREAD),
        "making the image's base (first run only)",
    )
    here = target.parent
    buildah = [
        *images.ALONE,
        "buildah",
        f"--root={here}/storage",
        f"--runroot={here}/run",
        "--storage-driver=vfs",
    ]
    _run([*buildah, "pull", "--quiet", f"docker-archive:{base}"], progress)
    options = ["--isolation=chroot", "--format=docker", f"--build-arg=BASE={BASE}", f"--tag={name}"]
    if CERTIFICATES.is_dir():
        # Whom this machine trusts to bring packages is trusted in the build as well.
        options.append(f"--volume={CERTIFICATES}:{CERTIFICATES}:ro")
    _run([*buildah, "build", *options, str(CHECKOUT)], progress)
    _run([*buildah, "push", "--quiet", name, f"docker-archive:{target}:{name}"], progress)


def _root_or_raise() -> None:
    """Raise where an image can't be built without Docker, and say what else there is."""
    if os.geteuid() != 0:
        raise PackagesMissingError(
            f"{WHY} is built by Debian's debootstrap and buildah, which takes root; with Docker it is "
            "built for `make kind-up`, and on a cluster that has it AGENTID_IMAGE names it"
        )


def _run(command: list[str], progress: Step) -> None:
    """Run a command to its end and show what it does; what it printed last is the message where it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            for line in running.stdout or ():
                lines.append(line.rstrip())
                progress.still(line.strip()[:80])
        except BaseException:
            running.kill()
            raise
    if running.returncode != 0:
        raise CommandError(command, running.returncode, "\n".join(lines[-20:]))
