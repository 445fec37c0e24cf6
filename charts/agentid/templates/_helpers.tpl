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

{{/* Names of the ConfigMaps with parts of a CRL that is too large for one. */}}
{{- define "agentid.crlParts" -}}
{{- $names := list -}}
{{- range until 28 -}}
{{- $names = append $names (printf "agentid-crl-part-%d" .) -}}
{{- end -}}
{{- toJson $names -}}
{{- end }}

{{/* Labels by which all pods of the chart are known: the operator's, the decision point's, those of `helm test`. */}}
{{- define "agentid.selectorLabels" -}}
app.kubernetes.io/name: agentid
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels by which the operator's pods alone are known. */}}
{{- define "agentid.operatorLabels" -}}
{{ include "agentid.selectorLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels by which the decision point's pods alone are known. */}}
{{- define "agentid.gateLabels" -}}
{{ include "agentid.selectorLabels" . }}
app.kubernetes.io/component: gate
{{- end }}

{{/* Reference of the image: by digest where one is given, else by tag. */}}
{{- define "agentid.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod. */}}
{{- define "agentid.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What it asks of a container, and that its files can't be changed. */}}
{{- define "agentid.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
{{- end }}

{{/* The PriorityClass of the operator's pods; nothing: the cluster's default. */}}
{{- define "agentid.priorityClassName" -}}
{{- if .Values.priorityClass.create }}agentid-operator{{ else }}{{ .Values.priorityClass.name }}{{ end -}}
{{- end }}

{{/* Where `helm test` issues its task. */}}
{{- define "agentid.testNamespace" -}}
{{- .Values.test.namespace | default (first (.Values.watchNamespaces | default (list .Release.Namespace))) -}}
{{- end }}

{{/* What is shown to a server and whom it has to be, as sources of a volume; given folders, each with the name of a
     Secret and its keys. Nothing where no Secret is named. */}}
{{- define "agentid.secretSources" -}}
{{- $sources := list -}}
{{- range $folder, $secret := . -}}
{{- if first $secret -}}
{{- $items := list -}}
{{- range rest $secret }}{{ $items = append $items (dict "key" . "path" (printf "%s/%s" $folder .)) }}{{ end -}}
{{- $sources = append $sources (dict "secret" (dict "name" (first $secret) "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- if $sources }}{{ toYaml $sources }}{{ end -}}
{{- end }}

{{/* The same for OPA, where one is asked. */}}
{{- define "agentid.opaSecrets" -}}
{{- with .Values.policy.opa -}}
{{- if .url -}}
{{- include "agentid.secretSources" (dict "ca" (list .caSecret "ca.crt") "client" (list .clientSecret "tls.crt" "tls.key") "token" (list .tokenSecret "token")) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The same for the receiver of the record, where there is one. */}}
{{- define "agentid.sinkSecrets" -}}
{{- with .Values.sinks.http -}}
{{- if .url -}}
{{- include "agentid.secretSources" (dict "ca" (list .caSecret "ca.crt") "token" (list .tokenSecret "token")) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The same for the collector of traces, where there is one. */}}
{{- define "agentid.tracesSecrets" -}}
{{- with .Values.traces -}}
{{- if .url -}}
{{- include "agentid.secretSources" (dict "ca" (list .caSecret "ca.crt")) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Variables of OpenTelemetry, where there are traces. */}}
{{- define "agentid.tracesEnv" -}}
{{- with .Values.traces }}
{{- if .url }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .url | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler | quote }}
{{- with .samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
{{- if .caSecret }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /etc/agentid/traces/ca/ca.crt
{{- end }}
{{- with .headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: headers
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Stop where values of traces don't fit each other. */}}
{{- define "agentid.checkTraces" -}}
{{- with .Values.traces }}
{{- if and (hasPrefix "http://" .url) (or .caSecret .headersSecret) }}
{{- fail "traces.url is http, which shows a token to whoever listens and asks for no certificate: use https, or leave caSecret and headersSecret empty." }}
{{- end }}
{{- end }}
{{- end }}

{{/* Stop where values don't fit each other, and say what to set. */}}
{{- define "agentid.checkValues" -}}
{{- if not .Values.trustDomain }}
{{- fail "trustDomain is not set. It is in every SPIFFE ID and can't be changed later: add --set trustDomain=prod.example.com with a name of your own, or --set replicaCount=0 to install no operator." }}
{{- end }}
{{- with .Values.operator.lease }}
{{- if not (and (gt (int .durationSeconds) (int .renewDeadlineSeconds)) (gt (mul 10 (int .renewDeadlineSeconds)) (mul 12 (int .retrySeconds)))) }}
{{- fail (printf "operator.lease.durationSeconds (%d) has to be more than renewDeadlineSeconds (%d), and that more than 1.2 times retrySeconds (%d)." (int .durationSeconds) (int .renewDeadlineSeconds) (int .retrySeconds)) }}
{{- end }}
{{- end }}
{{- with .Values.policy.opa }}
{{- if and (hasPrefix "http://" .url) (or .caSecret .clientSecret .tokenSecret) }}
{{- fail "policy.opa.url is http, which shows a token to whoever listens and asks for no certificate: use https, or leave caSecret, clientSecret and tokenSecret empty." }}
{{- end }}
{{- end }}
{{- with .Values.sinks.http }}
{{- if and (hasPrefix "http://" .url) (or .caSecret .tokenSecret) }}
{{- fail "sinks.http.url is http, which shows a token to whoever listens and asks for no certificate: use https, or leave caSecret and tokenSecret empty." }}
{{- end }}
{{- end }}
{{- include "agentid.checkTraces" . }}
{{- with .Values.watchNamespaces }}
{{- if not (has (include "agentid.testNamespace" $) .) }}
{{- fail (printf "test.namespace is %s, which is not one of watchNamespaces: leave it empty, or name one of these." $.Values.test.namespace) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The same for the decision point. */}}
{{- define "agentid.checkGateValues" -}}
{{- if not .Values.trustDomain }}
{{- fail "trustDomain is not set: the decision point knows identities of one trust domain only, which is the operator's." }}
{{- end }}
{{- with .Values.gate }}
{{- if not .tls.secret }}
{{- fail "gate.tls.secret is not set: name a Secret of the release's namespace with the decision point's certificate and key (tls.crt, tls.key), such as one that cert-manager writes; decisions are asked for over TLS only." }}
{{- end }}
{{- range .enforcementPoints }}
{{- if and .spiffeID (not $.Values.gate.tls.clientCaSecret) }}
{{- fail (printf "gate.enforcementPoints lists %s, which shows a certificate: name a Secret with the CA of those (ca.crt) in gate.tls.clientCaSecret." .spiffeID) }}
{{- end }}
{{- if and .serviceAccount (not $.Values.gate.tokenAudience) }}
{{- fail (printf "gate.enforcementPoints lists service account %s/%s, which shows a token: say in gate.tokenAudience for whom that has to be." .serviceAccount.namespace .serviceAccount.name) }}
{{- end }}
{{- end }}
{{- include "agentid.checkTraces" $ }}
{{- $ports := list (int .httpPort) (int .grpcPort) (int .metricsPort) }}
{{- if ne (len (uniq $ports)) 3 }}
{{- fail "gate.httpPort, gate.grpcPort and gate.metricsPort have to be three ports." }}
{{- end }}
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

{{/* Annotations of an object of `helm test`, which does not outlive it; given its weight. */}}
{{- define "agentid.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}

{{/* "true" where the API server has the kind ClusterAgentPolicy already. */}}
{{- define "agentid.knowsPolicies" -}}
{{- .Capabilities.APIVersions.Has "agentid.dev/v1alpha1/ClusterAgentPolicy" -}}
{{- end }}

{{/* The ClusterAgentPolicies that there are, by name; nothing where there is none, or no cluster to ask. */}}
{{- define "agentid.clusterPolicies" -}}
{{- $names := list -}}
{{- if eq (include "agentid.knowsPolicies" .) "true" -}}
{{- range (lookup "agentid.dev/v1alpha1" "ClusterAgentPolicy" "" "").items }}{{ $names = append $names .metadata.name }}{{ end -}}
{{- end -}}
{{- $names | sortAlpha | join ", " -}}
{{- end }}

{{/* "true" where the default policy comes with this release: with the kind itself, or into a cluster that has none.
     Afterwards it is the platform team's: an upgrade does not undo what they did with it. */}}
{{- define "agentid.installsPolicy" -}}
{{- $first := or .Release.IsInstall (ne (include "agentid.knowsPolicies" .) "true") -}}
{{- and .Values.policy.default.create $first (not (include "agentid.clusterPolicies" .)) -}}
{{- end }}
