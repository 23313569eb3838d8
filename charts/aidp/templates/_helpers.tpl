{{- define "aidp.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "aidp.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "aidp.name" .) -}}
{{- end -}}

{{- define "aidp.selector" -}}
app.kubernetes.io/name: aidp
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aidp.labels" -}}
{{ include "aidp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aidp
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
