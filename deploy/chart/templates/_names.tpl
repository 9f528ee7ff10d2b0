{{- define "bpfsvc.selector" -}}
app.kubernetes.io/name: bpfsvc
{{- end }}

{{- define "bpfsvc.labels" -}}
{{ include "bpfsvc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "bpfsvc.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "bpfsvc.config" -}}
{{- $kind := dict "apiVersion" "kubeproxy.config.k8s.io/v1alpha1" "kind" "KubeProxyConfiguration" -}}
{{ merge $kind .Values.config | toYaml }}
{{- end }}
