{{- define "bosun.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bosun.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "bosun.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bosun.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What stays the same over upgrades: selectors, and how the launcher finds its Jobs. */}}
{{- define "bosun.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bosun.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bosun.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "bosun.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "bosun.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "bosun.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bosun.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bosun.workerServiceAccountName" -}}
{{- if .Values.worker.serviceAccount.create }}
{{- default (printf "%s-worker" (include "bosun.fullname" .)) .Values.worker.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.worker.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bosun.databaseSecret" -}}
{{- if .Values.postgresql.embedded -}}
{{ include "bosun.fullname" . }}-postgresql
{{- else -}}
{{ required "database.existingSecret is needed: a Secret with the database's URL (or postgresql.embedded=true for a trial)" .Values.database.existingSecret }}
{{- end }}
{{- end }}

{{/* Where the database is, and how patient its clients are. */}}
{{- define "bosun.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "bosun.databaseSecret" . }}
      key: {{ if .Values.postgresql.embedded }}url{{ else }}{{ .Values.database.key }}{{ end }}
- name: BOSUN_DATABASE_PATIENCE
  value: {{ .Values.database.patience | quote }}
- name: BOSUN_LOG_FORMAT
  value: json
- name: BOSUN_LOG
  value: {{ .Values.log.filter | quote }}
{{- end }}

{{/* What serve and its workers must know alike. */}}
{{- define "bosun.env" -}}
{{ include "bosun.databaseEnv" . }}
{{- range $name, $url := dict "HSM_URL" .Values.services.hsm "PCS_URL" .Values.services.pcs "BSS_URL" .Values.services.bss "CFS_URL" .Values.services.cfs "IMS_URL" .Values.services.ims "TAPMS_URL" .Values.services.tapms "S3_ENDPOINT" .Values.services.s3 }}
{{- if $url }}
- name: BOSUN_{{ $name }}
  value: {{ $url | quote }}
{{- end }}
{{- end }}
- name: BOSUN_PCS_SAMPLE_INTERVAL
  value: {{ .Values.pcs.sampleInterval | quote }}
- name: BOSUN_PCS_CONFIRM_INTERVAL
  value: {{ .Values.pcs.confirmInterval | quote }}
{{- with .Values.s3 }}
{{- if .existingSecret }}
- name: S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyKey }}}}
- name: S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKeyKey }}}}
{{- end }}
{{- end }}
{{- if .Values.ca.existingSecret }}
- name: BOSUN_CA_FILE
  value: /etc/bosun/ca/{{ .Values.ca.key }}
{{- end }}
{{- if .Values.token.existingSecret }}
- name: BOSUN_TOKEN_FILE
  value: /etc/bosun/token/{{ .Values.token.key }}
{{- end }}
{{- end }}

{{- define "bosun.secretVolumes" -}}
{{- with .Values.ca.existingSecret }}
- name: ca
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.token.existingSecret }}
- name: token
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}

{{- define "bosun.secretVolumeMounts" -}}
{{- if .Values.ca.existingSecret }}
- name: ca
  mountPath: /etc/bosun/ca
  readOnly: true
{{- end }}
{{- if .Values.token.existingSecret }}
- name: token
  mountPath: /etc/bosun/token
  readOnly: true
{{- end }}
{{- end }}

{{/* A Job as the launcher makes it; whose it is comes from the launcher. */}}
{{- define "bosun.workerJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Values.worker.namePrefix }}
  labels:
    {{- include "bosun.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/component: worker
    app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
spec:
  backoffLimit: {{ .Values.worker.backoffLimit }}
  ttlSecondsAfterFinished: {{ .Values.worker.ttlSecondsAfterFinished }}
  template:
    metadata:
      {{- with .Values.worker.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      labels:
        {{- with .Values.worker.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "bosun.selectorLabels" . | nindent 8 }}
        app.kubernetes.io/component: worker
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "bosun.workerServiceAccountName" . }}
      automountServiceAccountToken: {{ .Values.worker.siteJobs.enabled }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .Values.worker.terminationGracePeriodSeconds }}
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.worker.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .Values.hostAliases }}
      hostAliases:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.podSecurityContext | nindent 8 }}
      containers:
        - name: worker
          image: {{ include "bosun.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args: [worker]
          env:
            - name: BOSUN_WORKER_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: BOSUN_LEASE_TIME
              value: {{ .Values.worker.leaseTime | quote }}
            {{- include "bosun.env" . | nindent 12 }}
            {{- with .Values.worker.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # What it said last is kept with the pod: why a session is stuck.
          terminationMessagePolicy: FallbackToLogsOnError
          securityContext:
            {{- toYaml .Values.securityContext | nindent 12 }}
          resources:
            {{- toYaml .Values.worker.resources | nindent 12 }}
          {{- $mounts := include "bosun.secretVolumeMounts" . }}
          {{- if or $mounts .Values.worker.extraVolumeMounts }}
          volumeMounts:
            {{- with $mounts }}
            {{- . | trim | nindent 12 }}
            {{- end }}
            {{- with .Values.worker.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- end }}
      {{- $volumes := include "bosun.secretVolumes" . }}
      {{- if or $volumes .Values.worker.extraVolumes }}
      volumes:
        {{- with $volumes }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- with .Values.worker.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.worker.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.worker.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.worker.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
