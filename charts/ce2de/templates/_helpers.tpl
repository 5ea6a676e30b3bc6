{{- define "ce2de.name" -}}
{{- contains "ce2de" .Release.Name | ternary .Release.Name (printf "%s-ce2de" .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that select the pods of a component: (list $ "worker"). */}}
{{- define "ce2de.selector" -}}
app.kubernetes.io/name: ce2de
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "ce2de.labels" -}}
{{ include "ce2de.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* What all pods have. */}}
{{- define "ce2de.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* What all containers have, but for the broker's address. */}}
{{- define "ce2de.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "ce2de.env" -}}
- {name: CE2DE_OPENSEARCH_URL, value: {{ .Values.opensearch.url | quote }}}
- {name: CE2DE_LOG_FORMAT, value: json}
{{- with .Values.opensearch.secret }}
- name: CE2DE_OPENSEARCH_USERNAME
  valueFrom: {secretKeyRef: {name: {{ . }}, key: username}}
- name: CE2DE_OPENSEARCH_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- if .Values.opensearch.caSecret }}
- {name: CE2DE_OPENSEARCH_CA_CERTS, value: /run/opensearch/ca.crt}
{{- end }}
{{- if .Values.model.claim }}
- {name: CE2DE_ARTIFACT, value: {{ printf "/model/%s" .Values.model.path | trimSuffix "/" | quote }}}
{{- end }}
{{- end }}

{{- define "ce2de.brokerEnv" -}}
- name: CE2DE_BROKER_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.broker.secret }}, key: url}}
{{- end }}

{{- define "ce2de.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.opensearch.caSecret }}
- {name: opensearch-ca, mountPath: /run/opensearch, readOnly: true}
{{- end }}
{{- if .Values.model.claim }}
- {name: model, mountPath: /model, readOnly: true}
{{- end }}
{{- end }}

{{- define "ce2de.volumes" -}}
- {name: tmp, emptyDir: {}}
{{- with .Values.opensearch.caSecret }}
- name: opensearch-ca
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.model.claim }}
- name: model
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end }}

{{/* Flags that allow the names of a service and more of the user's: (list $ "serve"). */}}
{{- define "ce2de.allowHosts" -}}
{{- $name := printf "%s-%s" (include "ce2de.name" (index . 0)) (index . 1) -}}
{{- $space := (index . 0).Release.Namespace -}}
{{- $own := list $name (printf "%s.%s" $name $space) (printf "%s.%s.svc" $name $space) (printf "%s.%s.svc.cluster.local" $name $space) -}}
{{- range concat $own (index (index . 0).Values (index . 1)).allowHosts }}
- --allow-host={{ . }}
{{- end }}
{{- end }}

{{/* Probes of a path that needs no key: (list "/health" "HTTP"). */}}
{{- define "ce2de.probes" -}}
{{- $get := dict "path" (index . 0) "port" "http" "scheme" (index . 1) -}}
startupProbe:
  httpGet: {{ toJson $get }}
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {{ toJson $get }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {{ toJson $get }}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}
