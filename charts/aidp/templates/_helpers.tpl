{{- /* Everything is named after this, in the namespace and outside: a release called "view" must not take over ClusterRole view. */}}
{{- define "aidp.name" -}}
{{- $name := contains "aidp" .Release.Name | ternary .Release.Name (printf "%s-aidp" .Release.Name) -}}
{{- .Values.fullnameOverride | default $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "aidp.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "aidp.name" .) -}}
{{- end -}}

{{- define "aidp.selector" -}}
app.kubernetes.io/name: aidp
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aidp.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "aidp.labels" -}}
{{ include "aidp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aidp
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
