{{- define "extauthz.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "extauthz.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "extauthz.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "extauthz.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "extauthz.selector" -}}
app.kubernetes.io/name: {{ include "extauthz.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "extauthz.labels" -}}
{{ include "extauthz.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "extauthz.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "extauthz.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "extauthz.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* Whether there may be more than one pod at a time. */}}
{{- define "extauthz.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end }}
{{- end }}

{{/* What no schema can say: one line for each mistake, with what to do. */}}
{{- define "extauthz.validate" -}}
{{- if not (or .Values.policies.files .Values.policies.configMaps .Values.config.bundles) }}
{{- fail "no policies: nothing would be allowed; set `policies.files` (--set-file 'policies.files.site\\.yaml=site.yaml'), `policies.configMaps` or `config.bundles`" }}
{{- end }}
{{- range $key := list "listen" "policies" "bundle_cache" "store" "keys" }}
{{- if hasKey $.Values.config $key }}
{{- fail (printf "config.%s: is written by the chart; set its own values instead, as its README says" $key) }}
{{- end }}
{{- end }}
{{- if and (include "extauthz.several" .) (ne .Values.store.kind "redis") }}
{{- fail (printf "store.kind: `%s` is known to one pod alone, and proofs would count on one and not on another; set `redis`, or `replicas: 1` and `autoscaling.enabled: false`" .Values.store.kind) }}
{{- end }}
{{- if and (eq .Values.store.kind "redis") (not .Values.keys.secret) }}
{{- fail "keys.secret: pods that share a Redis need the same keys; make a Secret of the file that `extauthz keys generate` writes, and name it" }}
{{- end }}
{{- if and .Values.tls.secret (not .Values.tls.callers) }}
{{- fail "tls.callers: without names anybody with a connection may ask; name the callers, say `spiffe://prod.example.org/ns/mesh/sa/gateway`" }}
{{- end }}
{{- if and .Values.tls.callers (not .Values.tls.secret) }}
{{- fail "tls.secret: is missing, so `tls.callers` would be asked for nothing; name a Secret with `tls.crt`, `tls.key` and `ca.crt`" }}
{{- end }}
{{- if le (int .Values.terminationGracePeriodSeconds) (add (int .Values.preStopSeconds) 20 | int) }}
{{- fail "terminationGracePeriodSeconds: calls that are under way would be cut off; it must be more than `preStopSeconds` and 20" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.admin) }}
{{- fail "networkPolicy.admin: lets nobody in, so `serviceMonitor` would see nothing; name where Prometheus runs, say `- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}`" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas: is less than `minReplicas`" }}
{{- end }}
{{- range $name, $_ := .Values.commonLabels }}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" "helm.sh/chart") }}
{{- fail (printf "commonLabels: `%s` is the chart's own; leave it out" $name) }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not (dig "requests" "cpu" "" (default dict .Values.resources))) }}
{{- fail "resources.requests.cpu: is missing, and `autoscaling` counts processor time in parts of it; say how much, as `500m`" }}
{{- end }}
{{- end }}

{{/* extauthz.yaml: what the chart knows, and `config`. */}}
{{- define "extauthz.settings" -}}
{{- $host := .Values.listenAddress }}
{{- $listen := dict "grpc" (printf "%s:9191" $host) "web" (printf "%s:9192" $host) "admin" (printf "%s:9193" $host) }}
{{- $_ := set $listen "approvals" (printf "%s:9194" $host) }}
{{- if .Values.tls.secret }}
{{- $callers := dict "authorities" "/etc/extauthz/tls/ca.crt" "names" .Values.tls.callers }}
{{- $_ := set $listen "tls" (dict "certificate" "/etc/extauthz/tls/tls.crt" "key" "/etc/extauthz/tls/tls.key" "callers" $callers) }}
{{- end }}
{{- $settings := dict "listen" $listen }}
{{- if .Values.config.bundles }}
{{- $_ := set $settings "bundle_cache" "/var/lib/extauthz/bundles" }}
{{- end }}
{{- $folders := list }}
{{- if .Values.policies.files }}
{{- $folders = append $folders "/etc/extauthz/policies/chart" }}
{{- end }}
{{- range .Values.policies.configMaps }}
{{- $folders = append $folders (printf "/etc/extauthz/policies/configmap-%s" .) }}
{{- end }}
{{- if $folders }}
{{- $_ := set $settings "policies" $folders }}
{{- end }}
{{- $_ := set $settings "keys" (ternary "/etc/extauthz/keys/keys.json" "/var/lib/extauthz/keys.json" (ne .Values.keys.secret "")) }}
{{- if eq .Values.store.kind "sqlite" }}
{{- $_ := set $settings "store" "sqlite:////var/lib/extauthz/extauthz.db" }}
{{- else if eq .Values.store.kind "memory" }}
{{- $_ := set $settings "store" "memory:" }}
{{- else if .Values.store.redis.address }}
{{- $address := .Values.store.redis.address }}
{{- $_ := set $settings "store" (printf "%s%spassword_file=/etc/extauthz/redis/password" $address (ternary "&" "?" (contains "?" $address))) }}
{{- end }}
{{- $logs := dict "logs" (dict "format" "json") }}
{{- mustMergeOverwrite $logs .Values.config $settings | toYaml }}
{{- end }}
