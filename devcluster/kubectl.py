"""kubectl with types, for tests and for the cluster's own use: as admin, or as somebody else."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from devcluster.errors import KubectlError
from devcluster.waiting import not_met
from devcluster.watching import AGAIN_SECONDS, is_final, states

Object = dict[str, Any]
Manifest = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Path

_SHORT_LIVED: Mapping[str, str] = {"GOGC": "off", "GOMEMLIMIT": "256MiB", "GOMAXPROCS": "1"}
"""Go's settings for a program that is over before its garbage matters: a third less processor time a call."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl against one cluster, as one user, in one namespace.

    Attributes:
        program: The kubectl binary.
        kubeconfig: Whose credentials it uses.
        namespace: The namespace of what names none; the kubeconfig's when empty.
        flags: What goes before each command, such as who to act as.
    """

    program: Path
    kubeconfig: Path
    namespace: str = ""
    flags: tuple[str, ...] = ()

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: timedelta | None = None) -> str:
        """Run one command.

        Args:
            arguments: The command line after `kubectl`.
            stdin: What it reads.
            timeout: How long it may take (a minute).

        Returns:
            Its standard output.

        Raises:
            KubectlError: It returned an error.
        """
        command = _command(self, *arguments)
        done = subprocess.run(
            command,
            env=self._environment(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=(timeout or timedelta(minutes=1)).total_seconds(),
        )
        if done.returncode != 0:
            raise KubectlError(command, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def as_user(
        self, user: str, groups: Iterable[str] = (), extra: Mapping[str, Iterable[str]] | None = None
    ) -> Self:
        """The same, acting as another user.

        Args:
            user: The user name.
            groups: Its groups; `system:authenticated` comes by itself.
            extra: Extra fields of the user, such as `authentication.kubernetes.io/pod-uid`.
        """
        flags = [f"--as={user}", *(f"--as-group={group}" for group in groups)]
        flags += [
            f"--as-user-extra={key}={value}" for key, values in (extra or {}).items() for value in values
        ]
        return replace(self, flags=tuple(flags))

    def as_service_account(self, namespace: str, name: str) -> Self:
        """The same, acting as a service account."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return self.as_user(f"system:serviceaccount:{namespace}:{name}", groups)

    def in_namespace(self, namespace: str) -> Self:
        """The same, in another namespace."""
        return replace(self, namespace=namespace)

    def apply(self, manifest: Manifest, *options: str) -> Object:
        """Apply objects, given as a mapping, several, YAML text or a file; returns the (last) object."""
        return self._write("apply", manifest, options)

    def create(self, manifest: Manifest, *options: str) -> Object:
        """Create objects; one that is there already is an error."""
        return self._write("create", manifest, options)

    def replace(self, manifest: Manifest, *options: str) -> Object:
        """Replace objects, whole."""
        return self._write("replace", manifest, options)

    def patch(
        self, kind: str, name: str, patch: object, *options: str, kind_of_patch: str = "merge"
    ) -> Object:
        """Patch an object; `--subresource=status` is an option like others."""
        text = json.dumps(patch)
        return self._json("patch", kind, name, f"--type={kind_of_patch}", f"--patch={text}", *options)

    def get(self, kind: str, name: str, *options: str) -> Object:
        """One object; KubectlError with reason NotFound where there is none."""
        return self._json("get", kind, name, *options)

    def find(self, kind: str, name: str) -> Object | None:
        """One object, or None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, *options: str) -> list[Object]:
        """All objects of a kind in the namespace; with `--all-namespaces` of all."""
        items: list[Object] = self._json("get", kind, *options)["items"]
        return items

    def delete(self, kind: str, name: str, *options: str) -> None:
        """Delete an object and wait until it is gone, unless `--wait=false`."""
        self("delete", kind, name, *options)

    def can_i(self, verb: str, resource: str, *options: str) -> bool:
        """May this user do that, by RBAC?"""
        try:
            return self("auth", "can-i", verb, resource, *options).strip() == "yes"
        except KubectlError as refusal:
            if refusal.stderr.strip().endswith("no"):
                return False
            raise

    def wait_for(
        self,
        kind: str,
        name: str,
        predicate: Callable[[Object], object],
        timeout: timedelta = timedelta(seconds=30),
        message: str = "",
    ) -> Object:
        """Wait until an object is there and as wanted.

        Args:
            kind: Its kind.
            name: Its name.
            predicate: Whether it is as wanted.
            timeout: How long to wait.
            message: What is waited for: "the task runs".

        Returns:
            The object as it was then.

        Raises:
            ConditionNotMetError: It did not come to that; the message shows the object as last seen.
        """
        what = message or f"{kind} {name} is as wanted"
        for seen in self._states(kind, name, timeout, what):
            if seen is not None and predicate(seen):
                return seen
        raise AssertionError("unreachable: following an object ends by finding it or by an error")

    def wait_gone(self, kind: str, name: str, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Wait until an object is not there any more.

        Raises:
            ConditionNotMetError: It is still there; the message shows it.
        """
        end = time.monotonic() + timeout.total_seconds()
        while (left := end - time.monotonic()) > 0:
            try:
                self(
                    "wait",
                    "--for=delete",
                    f"{kind}/{name}",
                    f"--timeout={left:.3f}s",
                    timeout=timedelta(seconds=left + 30),
                )
            except KubectlError as broken:
                if is_final(broken.stderr):
                    raise
                time.sleep(AGAIN_SECONDS)
            else:
                return
        raise not_met(f"{kind} {name} is gone", timeout, self.find(kind, name))

    def _states(self, kind: str, name: str, timeout: timedelta, what: str) -> Iterator[Object | None]:
        """What an object is, again and again; an error when time is up."""
        seen: Object | None = None
        command = _command(self, "get", kind, f"--field-selector=metadata.name={name}")
        for seen in states(command, self._environment(), time.monotonic() + timeout.total_seconds()):
            yield seen
        raise not_met(what, timeout, seen)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **_SHORT_LIVED, "KUBECONFIG": str(self.kubeconfig)}

    def _write(self, verb: str, manifest: Manifest, options: tuple[str, ...]) -> Object:
        if isinstance(manifest, Path):
            return self._json(verb, f"--filename={manifest}", *options)
        if not isinstance(manifest, str):
            whole = manifest if isinstance(manifest, Mapping) else {"kind": "List", "items": list(manifest)}
            manifest = json.dumps({"apiVersion": "v1"} | dict(whole))
        return self._json(verb, "--filename=-", *options, stdin=manifest)

    def _json(self, *arguments: str, stdin: str | None = None) -> Object:
        """The object that it answers; the last one where it writes several, one after the other."""
        rest = self(*arguments, "--output=json", stdin=stdin).strip()
        answer: Object = {}
        while rest:
            answer, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].lstrip()
        return answer


def _command(kubectl: Kubectl, *arguments: str) -> list[str]:
    """The whole command line of one command."""
    where = ("--namespace", kubectl.namespace) if kubectl.namespace else ()
    return [str(kubectl.program), *kubectl.flags, *where, *arguments]
