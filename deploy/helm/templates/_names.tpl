{{- define "extauthz.name" -}}
{{- if contains "extauthz" .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-extauthz" .Release.Name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "extauthz.labels" -}}
app.kubernetes.io/name: {{ include "extauthz.name" . }}
{{- end -}}

{{- define "extauthz.store" -}}
{{ include "extauthz.name" . }}-nonces
{{- end -}}

{{- define "extauthz.secret" -}}
{{ .Values.secret.name | default (include "extauthz.name" .) }}
{{- end -}}

{{- define "extauthz.storeSecret" -}}
{{ .Values.store.secret | default (include "extauthz.store" .) }}
{{- end -}}

{{- define "extauthz.mostReplicas" -}}
{{- $most := ternary .Values.autoscaling.max .Values.replicas .Values.autoscaling.enabled -}}
{{- if and (eq .Values.store.kind "none") (gt (int $most) 1) -}}
{{- fail "store.kind none keeps nonces in memory, so a request could pass once at each replica: set replicas: 1 and autoscaling.enabled: false, or share a store" -}}
{{- end -}}
{{ $most }}
{{- end -}}

{{- define "extauthz.anyPort" -}}
{{ get .Values.networks (keys .Values.networks | sortAlpha | first) }}
{{- end -}}

{{- define "extauthz.storeMegabytes" -}}
{{ max 16 (div (mul (int .Values.store.capacity) 480) 1000000) }}
{{- end -}}
