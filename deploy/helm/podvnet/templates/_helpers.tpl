{{/* A cluster has one network of pods, so names do not depend on the release's. */}}
{{- define "podvnet.labels" -}}
app.kubernetes.io/name: podvnet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "podvnet.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "podvnet.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Everything in the host that a node's part of podvnet touches, under the same paths inside. */}}
{{- define "podvnet.hostVolumes" -}}
- name: programs
  hostPath: {path: {{ .Values.agent.binDir }}, type: DirectoryOrCreate}
- name: networks
  hostPath: {path: {{ .Values.agent.confDir }}, type: DirectoryOrCreate}
- name: run
  hostPath: {path: /run/podvnet, type: DirectoryOrCreate}
- name: state
  hostPath: {path: /var/lib/podvnet, type: DirectoryOrCreate}
{{- end }}

{{- define "podvnet.spread" -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: type, operator: NotIn, values: [virtual-kubelet]}
{{- end }}

{{- define "podvnet.armVariables" -}}
PODVNET_ARM_ENDPOINT: {{ .Values.arm.endpoint | quote }}
{{- with .Values.arm.identity }}
PODVNET_ARM_IDENTITY: {{ . | quote }}
{{- end }}
{{- if .Values.arm.ca }}
PODVNET_ARM_CA: /etc/podvnet/ca.pem
{{- end }}
{{- end }}

{{/* A ConfigMap's change is a change of the pods that read it. */}}
{{- define "podvnet.checksum" -}}
podvnet.io/configuration: {{ include (print .Template.BasePath "/configmap.yaml") . | sha256sum }}
{{- end }}
