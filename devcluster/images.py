"""Container images made on this machine, without a registry: archives that containerd imports.

`localhost/agentid-busybox:dev` is Debian's static busybox. `localhost/agentid-python:dev` is a small Debian
with Python, cryptography and OpenSSL, for pods that make and answer mTLS calls. Both run as any user and with
a read-only root. The busybox also has the public name that `deploy/examples` give, which a node can't pull.
"""

import fcntl
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from devcluster import debian
from devcluster.errors import CommandError
from devcluster.places import cache
from devcluster.progress import Step, step

PAUSE = "localhost/agentid-pause:dev"
BUSYBOX = "localhost/agentid-busybox:dev"
EXAMPLES_BUSYBOX = "docker.io/library/busybox:1.37"
PYTHON = "localhost/agentid-python:dev"

# debootstrap resolves no virtual packages: cryptography asks for python3-cffi-backend by another name.
PYTHON_PACKAGES = ("python3", "python3-cryptography", "python3-cffi-backend", "openssl", "ca-certificates")
# What a pod never reads: half of a small Debian.
UNREAD = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
ALONE = ("unshare", "--mount", "--propagation=private", "--")
# Part of the archives' names in the cache: raise it with any change to how they are written.
RECIPE = "1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USERS = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"


def busybox() -> Path:
    """The archive with the busybox and pause images, made now if it is not in the cache."""
    recipe = (RECIPE, BUSYBOX, EXAMPLES_BUSYBOX, PAUSE)
    return cached("busybox", recipe, _write_busybox, "making the busybox image")


def python() -> Path:
    """The archive with the Python image, made now if it is not in the cache (about a minute, root)."""
    recipe = (RECIPE, PYTHON_PACKAGES, UNREAD)
    return cached("python", recipe, _write_python, "making the Python image (first run only)")


def cached(name: str, recipe: tuple[object, ...], write: Callable[[Path, Step], None], what: str) -> Path:
    """An archive in the cache; made by one at a time, and there whole or not at all.

    Args:
        name: What its file is called, before a hash of the recipe.
        recipe: All that it depends on.
        write: Makes it at a path in a folder that is removed afterwards, and says how far it is.
        what: What to say meanwhile.
    """
    folder = cache() / "images"
    folder.mkdir(exist_ok=True)
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    archive = folder / f"{name}-{key}.tar"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            for stale in folder.glob(f".{name}-*"):  # of one that was killed: this one holds the lock
                shutil.rmtree(stale)
            with (
                step(what) as progress,
                tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch,
            ):
                fresh = Path(scratch) / "image.tar"
                write(fresh, progress)
                fresh.rename(archive)
    return archive


def _write_busybox(target: Path, _: Step) -> None:
    """One static program, a link for each of its names, a /tmp and two users."""
    debian.ensure("busybox-static", why="the image for test pods")
    program = shutil.which("busybox") or "/bin/busybox"
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer = target.with_name("layer.tar")
    with tarfile.open(layer, "w") as tar:
        tar.addfile(_folder("bin", 0o755))
        tar.add(program, "bin/busybox", filter=_as_root)
        for name in names:
            if name != "busybox":
                tar.addfile(_link(f"bin/{name}", "busybox"))
        tar.addfile(_folder("tmp", 0o1777))
        tar.addfile(_folder("etc", 0o755))
        _add_text(tar, "etc/passwd", USERS)
        _add_text(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n")
    _write_archive(
        target, layer, {(BUSYBOX, EXAMPLES_BUSYBOX): ["/bin/sh"], (PAUSE,): ["/bin/sleep", "infinity"]}
    )


def _write_python(target: Path, _: Step) -> None:
    """A minimal Debian with what the programs of test pods import."""
    write_debian(target, PYTHON, PYTHON_PACKAGES, why="the Python image for test pods")


def write_debian(
    target: Path, name: str, packages: Iterable[str], why: str, unread: Iterable[str] = UNREAD
) -> None:
    """Write the archive of an image that is a minimal Debian of this machine's release.

    Args:
        target: Where to, in a folder that may be written to as well.
        name: What to call the image.
        packages: What is in it besides.
        why: What needs it, for the message where debootstrap can't be had.
        unread: Patterns of folders that are left out.
    """
    debian.ensure("debootstrap", why=why)
    release = subprocess.run(
        ["sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    root = target.with_name("root")
    # In a mount namespace of its own: what it mounts below its root is gone whatever happens to it.
    command = [
        *ALONE,
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        release,
        str(root),
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stdout[-2000:])
    for folder in [found for pattern in unread for found in root.glob(pattern)]:
        shutil.rmtree(folder, ignore_errors=True)
    layer = target.with_name("layer.tar")
    with tarfile.open(layer, "w") as tar:
        tar.add(root, ".", filter=lambda member: None if member.isdev() else member)
    _write_archive(target, layer, {(name,): ["/usr/bin/python3"]})


def _write_archive(target: Path, layer: Path, commands: Mapping[tuple[str, ...], list[str]]) -> None:
    """A docker-archive of images that share one layer and differ in names and command."""
    digest = hashlib.sha256()
    with layer.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    manifest = []
    with tarfile.open(target, "w") as tar:
        tar.add(layer, "layer.tar", filter=_as_root)
        for names, command in commands.items():
            config = {
                "architecture": _architecture(),
                "os": "linux",
                "config": {"Cmd": command, "Env": [f"PATH={PATH}"], "WorkingDir": "/"},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"]},
                "history": [{"created_by": "agentid devcluster"}],
            }
            text = json.dumps(config, sort_keys=True)
            config_name = f"{hashlib.sha256(text.encode()).hexdigest()}.json"
            _add_text(tar, config_name, text)
            manifest.append({"Config": config_name, "RepoTags": list(names), "Layers": ["layer.tar"]})
        _add_text(tar, "manifest.json", json.dumps(manifest))


def _architecture() -> str:
    """Go's name for this machine's architecture."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    return member


def _link(name: str, to: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), 0o644
    tar.addfile(member, io.BytesIO(text.encode()))
