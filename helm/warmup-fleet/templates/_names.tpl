{{- define "warmup-fleet.labels" -}}
app.kubernetes.io/name: warmup-fleet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "warmup-fleet.selector" -}}
app.kubernetes.io/name: warmup-fleet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* All that the operator may do where fleets are. Secrets are read by name, never listed; nothing is deleted but pods. */}}
{{- define "warmup-fleet.rules" -}}
- apiGroups: [warmupfleet.io]
  resources: [warmupfleets]
  verbs: [get, list, watch]
# The finalizer of a fleet whose deletionPolicy is Purge; nothing else of a fleet is written but its status.
- apiGroups: [warmupfleet.io]
  resources: [warmupfleets]
  verbs: [patch]
- apiGroups: [warmupfleet.io]
  resources: [warmupfleets/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
# Why a worker does not come up: what the kubelet and the controllers say of its pod.
- apiGroups: [""]
  resources: [pods, events]
  verbs: [list]
# A lost node keeps its pods Terminating for ever: they are deleted by force, so that their workers start elsewhere.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
