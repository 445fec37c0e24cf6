{{/* Labels of every object. */}}
{{- define "agentid.labels" -}}
app.kubernetes.io/name: agentid
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* User name of the operator, as the API server authenticates it. */}}
{{- define "agentid.operatorUsername" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ .Values.serviceAccount.name }}
{{- end }}

{{/* "true" where who asks is stamped, and pods are completed, by MutatingAdmissionPolicy. */}}
{{- define "agentid.mutating" -}}
{{- if eq (toString .Values.admission.mutating) "auto" -}}
{{- .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- else -}}
{{- .Values.admission.mutating -}}
{{- end -}}
{{- end }}

{{/* API group of an apiVersion: batch for batch/v1, nothing for v1. */}}
{{- define "agentid.group" -}}
{{- if contains "/" . }}{{ splitList "/" . | first }}{{ end -}}
{{- end }}

{{/* The namespaces that the operator serves, as a list of CEL; empty: all. */}}
{{- define "agentid.watchedNamespaces" -}}
{{- $namespaces := list -}}
{{- range .Values.watchNamespaces }}{{ $namespaces = append $namespaces (printf "'%s'" .) }}{{ end -}}
[{{ $namespaces | uniq | sortAlpha | join ", " }}]
{{- end }}

{{/* The kinds that a task may name as its workload, as a list of CEL. */}}
{{- define "agentid.workloadKinds" -}}
{{- $kinds := list -}}
{{- range .Values.workloadKinds }}
{{- $group := include "agentid.group" .apiVersion -}}
{{- $kinds = append $kinds (printf "{'group': '%s', 'kind': '%s', 'resource': '%s'}" $group .kind .resource) }}
{{- end -}}
[{{ $kinds | uniq | sortAlpha | join ", " }}]
{{- end }}
