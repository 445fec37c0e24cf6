"""Reads objects out of files, as kubectl takes them: YAML or JSON, one file, a folder, or standard input."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from agentid.api.names import GROUP
from agentid.cli.errors import NotThereError, UnusableFileError
from agentid.watched.facts import mapping, sequence, text

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_STDIN: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and the file it is from."""

    file: Path
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its kind, if it is one of agentid's or of Kubernetes itself: `AgentTask`, `Namespace`."""
        group = text(self.body.get("apiVersion")).rpartition("/")[0]
        return text(self.body.get("kind")) if group in {"", GROUP} else ""

    @property
    def name(self) -> str:
        """Its name."""
        return text(mapping(self.body.get("metadata")).get("name"))

    @property
    def namespace(self) -> str:
        """The namespace that it names, if it does."""
        return text(mapping(self.body.get("metadata")).get("namespace"))


def manifests(path: Path) -> list[Manifest]:
    """Return all objects of a file, of all files below a folder, or of standard input (`-`).

    Raises:
        NotThereError: there is no such file.
        UnusableFileError: one cannot be read.
    """
    if path == _STDIN:
        return list(_objects(path, _documents(path, sys.stdin.read())))
    if not path.exists():
        raise NotThereError(f"{path} does not exist")
    files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES) if path.is_dir() else [path]
    return [each for file in files for each in _objects(file, _documents(file, _text(file)))]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFileError(f"{file} cannot be read: {error}") from error


def _documents(file: Path, content: str) -> list[object]:
    try:
        return list(yaml.safe_load_all(content))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UnusableFileError(f"{file} is not YAML: {' '.join(str(error).split())}") from error


def _objects(file: Path, documents: list[object]) -> Iterator[Manifest]:
    for document in documents:
        body = mapping(document)
        if text(body.get("kind")).endswith("List"):
            yield from _objects(file, sequence(body.get("items")))
        elif "kind" in body:
            yield Manifest(file, dict(body))
