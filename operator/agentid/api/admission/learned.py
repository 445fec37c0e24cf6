"""Reads from the rules that are installed what they were installed with.

Whoever looks from outside knows no installation's settings. The rules tell them: each placeholder of a source
file stands where the installed rule has a value. What most of them say is taken, so that one that was changed
shows as different from the others.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentid.api.admission.rules import (
    ALWAYS,
    STAMPED,
    TYPED,
    AdmissionObject,
    differences,
    policy_and_binding,
)
from agentid.api.admission.settings import AdmissionSettings, OwnerKind
from agentid.api.errors import AdmissionSettingsError

Found = Mapping[tuple[str, str], Mapping[str, Any] | None]
"""What the API server has by kind and name; None: nothing."""

_PLACEHOLDER: Final = re.compile(r"@[A-Z_]+@")
_VALUES: Final[Mapping[str, str]] = {
    "@OPERATOR@": r"system:serviceaccount:[-a-z0-9.]+:[-a-z0-9.]+",
    "@OPERATOR_NAMESPACE@": r"[-a-z0-9.]+",
    "@MAX_TTL_SECONDS@": r"[0-9]{1,10}",
    "@MAX_ACTIVE_DEADLINE_SECONDS@": r"[0-9]{1,10}",
    "@MAX_START_DEADLINE_SECONDS@": r"[0-9]{1,10}",
    "@MAX_BREAK_GLASS_SECONDS@": r"[0-9]{1,10}",
    "@MAX_APPROVAL_SECONDS@": r"[0-9]{1,10}",
    "@WATCHED_NAMESPACES@": r"\[[-a-z0-9., ']*\]",
    "@WORKLOAD_KINDS@": r"\[[-A-Za-z0-9., '{}:]*\]",
}
_KIND: Final = re.compile(r"\{'group': '([^']*)', 'kind': '([^']*)', 'resource': '([^']*)'\}")


def rule_keys() -> tuple[tuple[str, str], ...]:
    """Return kind and name of each policy and binding that either way to install them has."""
    return tuple(dict.fromkeys((rule.kind, rule.name) for rule in _templates((*STAMPED, *TYPED, *ALWAYS))))


def is_stamping(found: Found) -> bool:
    """Return whether the rules that stamp are meant to be there, rather than the one about typed requesters.

    That one has the name of a rule beside the stamp, so it counts only where it is exactly as written.
    """
    if any(kind.startswith("Mutating") and rule is not None for (kind, _), rule in found.items()):
        return True
    typed = next(_templates(TYPED))
    return differences(typed, found.get((typed.kind, typed.name))) is not None


def learned_settings(found: Found) -> AdmissionSettings | None:
    """Return what most installed rules say they were installed with; None where they do not tell.

    Args:
        found: What the API server has of `rule_keys`.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for rule in _templates((*STAMPED, *TYPED, *ALWAYS)):
        installed = found.get((rule.kind, rule.name))
        if installed is not None:
            for placeholder, value in _readings(rule.spec, installed.get("spec")):
                votes[placeholder][value] += 1
    if votes.keys() < _VALUES.keys():
        return None
    said = {placeholder: counter.most_common(1)[0][0] for placeholder, counter in votes.items()}
    namespace, account = said["@OPERATOR@"].split(":")[2:]
    try:
        return AdmissionSettings(
            operator_namespace=namespace,
            operator_service_account=account,
            mutating=is_stamping(found),
            max_ttl_seconds=int(said["@MAX_TTL_SECONDS@"]),
            max_active_deadline_seconds=int(said["@MAX_ACTIVE_DEADLINE_SECONDS@"]),
            max_start_deadline_seconds=int(said["@MAX_START_DEADLINE_SECONDS@"]),
            max_break_glass_seconds=int(said["@MAX_BREAK_GLASS_SECONDS@"]),
            max_approval_seconds=int(said["@MAX_APPROVAL_SECONDS@"]),
            watch_namespaces=tuple(re.findall(r"'([^']*)'", said["@WATCHED_NAMESPACES@"])),
            workload_kinds=tuple(OwnerKind(*each) for each in _KIND.findall(said["@WORKLOAD_KINDS@"])),
        )
    except AdmissionSettingsError:
        return None


def _templates(sources: tuple[str, ...]) -> Iterator[AdmissionObject]:
    for source in sources:
        yield from policy_and_binding(source, {})


def _readings(template: object, installed: object) -> Iterator[tuple[str, str]]:
    """Yield each placeholder of a part of a rule with what stands there, where the rest is the same."""
    if isinstance(template, Mapping) and isinstance(installed, Mapping):
        for key in template.keys() & installed.keys():
            yield from _readings(template[key], installed[key])
    elif isinstance(template, list) and isinstance(installed, list):
        for one, other in zip(template, installed, strict=False):
            yield from _readings(one, other)
    elif isinstance(template, str) and isinstance(installed, str) and "@" in template:
        names = _PLACEHOLDER.findall(template)
        if names and (match := re.fullmatch(_pattern(template), installed)) is not None:
            yield from zip(names, match.groups(), strict=True)


def _pattern(template: str) -> str:
    parts, at = [], 0
    for placeholder in _PLACEHOLDER.finditer(template):
        parts += [re.escape(template[at : placeholder.start()]), f"({_VALUES[placeholder[0]]})"]
        at = placeholder.end()
    return "".join([*parts, re.escape(template[at:])])
