"""The admission rules as templates of the chart: the same objects, with Helm's values in place of ours."""

from typing import Final

import yaml

from agentid.api.admission.rules import ALWAYS, STAMPED, TYPED, policy_and_binding

_VALUES: Final = {
    "@OPERATOR@": '{{ include "agentid.operatorUsername" . }}',
    "@OPERATOR_NAMESPACE@": "{{ .Release.Namespace }}",
    "@MAX_TTL_SECONDS@": "{{ int64 .Values.limits.maxTtlSeconds }}",
    "@MAX_ACTIVE_DEADLINE_SECONDS@": "{{ int64 .Values.limits.maxActiveDeadlineSeconds }}",
    "@MAX_START_DEADLINE_SECONDS@": "{{ int64 .Values.limits.maxStartDeadlineSeconds }}",
    "@MAX_BREAK_GLASS_SECONDS@": "{{ int64 .Values.limits.maxBreakGlassSeconds }}",
    "@MAX_APPROVAL_SECONDS@": "{{ int64 .Values.limits.maxApprovalSeconds }}",
    "@WATCHED_NAMESPACES@": '{{ include "agentid.watchedNamespaces" . }}',
    "@WORKLOAD_KINDS@": '{{ include "agentid.workloadKinds" . }}',
}
_LABELS: Final = '  labels:\n    {{- include "agentid.labels" . | nindent 4 }}\n'
_WHERE_STAMPED: Final = '{{- if eq (include "agentid.mutating" .) "true" }}\n'
_WHERE_TYPED: Final = '{{- if ne (include "agentid.mutating" .) "true" }}\n'
_END: Final = "{{- end }}\n"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it stands."""


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def templates() -> dict[str, str]:
    """Return the text of each template by its file name."""
    return {
        "always.yaml": _template(ALWAYS),
        "stamped.yaml": _WHERE_STAMPED + _template(STAMPED) + _END,
        "typed.yaml": _WHERE_TYPED + _template(TYPED) + _END,
    }


def _template(sources: tuple[str, ...]) -> str:
    documents = [_document(each.manifest) for source in sources for each in policy_and_binding(source, {})]
    return "---\n".join(documents)


def _document(manifest: dict[str, object]) -> str:
    text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=110)
    if "{{" in text:
        raise ValueError("an admission rule must not contain '{{': Helm would read it as a template")
    for placeholder, expression in _VALUES.items():
        text = text.replace(placeholder, expression)
    head, spec = text.split("spec:\n", 1)
    return f"{head}{_LABELS}spec:\n{spec}"
