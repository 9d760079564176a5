# What must hold on a cluster, case by case. Sourced, not run. Each uses nodes of its own.
# shellcheck shell=bash

# Through the Service, as any client of BOS; against a machine that is in the cluster, too.
case_1_a_session_runs_in_a_pod() {
  local limit before id pod log broken
  limit=$(nodes 0 5) before=$(times_on "$limit")
  get -X POST "$API/v2/sessions" -H 'content-type: application/json' -d "$(jq -n --arg limit "$limit" \
    '{name: "first", template_name: "demo", operation: "reboot", limit: $limit}')" >/dev/null
  until_true 120 "its nodes boot" in_flight first await_boot
  equal "connections of one worker" 2 "$(sql "select count(*) from pg_stat_activity where application_name like 'bosun worker%'")"
  ended_well first "$limit" "$before"
  id=$(number first)
  equal "the Jobs of the first session" "job.batch/bosun-worker-$id-1" "$(jobs_of "$id")"
  pod=$(newest_pod "$id")
  until_true 60 "the Job completes" k wait --for=condition=complete --timeout=1s "job/bosun-worker-$id-1"
  log=$(k logs "$pod")
  jq -es 'all(has("message"))' <<<"$log" >/dev/null || fail "the log is not JSON: $log"
  equal "the last line of the log" "6 succeeded, 0 failed, 0 skipped" "$(last_message "$pod")"
  equal "a token of Kubernetes in the worker's pod" "" "$(k get pod "$pod" -o jsonpath='{.spec.volumes}')"
  equal "what the worker's pod may do to itself" 'true {"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}' \
    "$(k get pod "$pod" -o jsonpath='{.spec.securityContext.runAsNonRoot} {.spec.containers[0].securityContext}')"

  # One whose nodes fail: the last line is the command that retries them.
  broken=$(nodes 5 5)
  get -X POST "$MACHINE/sim/nodes/$broken" -d '{"faults": ["fail_configuration"]}' >/dev/null
  create failing "$(nodes 4 5)"
  until_true 180 "the session with a broken node ends" state_is failing ended
  equal "its outcome" partial "$(field failing outcome)"
  id=$(number failing)
  until_true 60 "the Job completes" k wait --for=condition=complete --timeout=1s "job/bosun-worker-$id-1"
  equal "the last line of its log" "$(field failing retry_command)" "$(last_message "$(newest_pod "$id")")"
  last_message "$(newest_pod "$id")" | grep -q -- "--limit $broken" || fail "the retry command does not name $broken"
  get -X POST "$MACHINE/sim/nodes/$broken" -d '{"faults": []}' >/dev/null
}

# Four sessions at once; to each happens something else while its nodes boot.
case_2_a_worker_dies_in_every_way() {
  local name limits=() before=() i=0 pid
  for name in pod-deleted killed job-deleted shim-killed; do
    limits[i]=$(nodes $((6 + i * 4)) $((9 + i * 4)))
    before[i]=$(times_on "${limits[i]}")
    create "$name" "${limits[i]}"
    i=$((i + 1))
  done
  for name in pod-deleted killed job-deleted shim-killed; do
    until_true 120 "$name: nodes are being switched on" in_flight "$name" power_on
    local id; id=$(number "$name")
    case $name in
      pod-deleted) k delete pod "$(newest_pod "$id")" --wait=false >/dev/null ;;
      killed) kill_worker "$id" KILL ;;
      job-deleted) k delete "$(jobs_of "$id")" --wait=false >/dev/null ;;
      shim-killed)
        pid=$(worker_pid "$id")
        kill -KILL "$(ps -o ppid= -p "$pid" | tr -d ' ')"
        ;;
    esac
  done
  i=0
  for name in pod-deleted killed job-deleted shim-killed; do
    ended_well "$name" "${limits[i]}" "${before[i]}"
    [ "$(leases "$name")" -ge 2 ] || fail "$name: no second worker in the history"
    i=$((i + 1))
  done
  for name in killed shim-killed; do
    [ "$(events "$name" '.kind == "lease_acquired" and .data.take_over')" -ge 1 ] || fail "$name: no take-over in the history"
  done
  equal "the launches of the session whose Job was deleted" "bosun-worker-$(number job-deleted)-2" \
    "$(k get "$(jobs_of "$(number job-deleted)" | tail -n 1)" -o jsonpath='{.metadata.name}')"
}

# Planned stops cost nothing; a defect parks; the budget ends.
case_3_exit_codes_and_the_crash_budget() {
  local limit before id
  limit=$(nodes 22 24) before=$(times_on "$limit")
  create planned "$limit"
  id=$(number planned)
  for times in 1 2; do
    until_true 90 "the worker has its lease for the ${times}. time" leases_reach planned "$times"
    kill_worker "$id" TERM
  done
  ended_well planned "$limit" "$before"
  until_true 60 "the Job completes" k wait --for=condition=complete --timeout=1s "job/bosun-worker-$id-1"
  equal "exit codes" "75 75 0 " "$(exit_codes "$id")"
  equal "deaths in the budget" 0 "$(sql "select takeovers from session_lease where session_id = $id")"

  # What the worker does not know it does not guess: here the state of a step.
  limit=$(nodes 25 26)
  create defect "$limit"
  id=$(number defect)
  until_true 90 "its nodes are being switched off" in_flight defect power_off
  sql "alter table step_result_batch drop constraint if exists step_result_batch_kind_check;
       update step_result_batch set kind = 'vanished' where session_id = $id" >/dev/null
  kill_worker "$id" KILL
  until_true 120 "the session is stuck" state_is defect stuck
  until_true 60 "no worker is left" no_worker "$id"
  local jobs; jobs=$(job_count "$id")
  sleep 5 # several looks of the launcher
  equal "Jobs of a stuck session" "$jobs" "$(job_count "$id")"
  sql "update step_result_batch set kind = 'succeeded' where session_id = $id and kind = 'vanished'" >/dev/null
  command defect resume
  until_true 180 "the session ends after all" state_is defect ended
  equal "Jobs after the resume" "$((jobs + 1))" "$(job_count "$id")"

  # Deaths without a result in between.
  limit=$(nodes 27 28)
  create budget "$limit"
  id=$(number budget)
  until_true 90 "its worker has the lease" leases_reach budget 1
  until_true 90 "its nodes boot" in_flight budget await_boot
  sql "update session_lease set max_takeovers = 1 where session_id = $id" >/dev/null
  kill_worker "$id" KILL
  until_true 90 "another worker took over" leases_reach budget 2
  kill_worker "$id" KILL
  until_true 90 "the session is stuck" state_is budget stuck
  field budget reason | grep -q "ended with 137 and said" || fail "no last words: $(field budget reason)"
  sql "update session_lease set max_takeovers = 20 where session_id = $id" >/dev/null
  command budget resume
  until_true 180 "the session ends after the resume" state_is budget ended
}
no_worker() { [ -z "$(worker_pid "$1")" ]; }

# The API server goes away for half a minute.
case_4_an_outage_of_the_api_server() {
  local limit before other
  limit=$(nodes 30 33) before=$(times_on "$limit") other=$(nodes 34 35)
  create before-the-outage "$limit"
  until_true 90 "its worker has the lease" leases_reach before-the-outage 1
  (. "$KUBE_TOOLS/lib.sh" && use_dir "$KUBE_DIR" && stop kube-apiserver)
  local down=$SECONDS times; times=$(times_on "$other")
  create in-the-outage "$other"
  while [ $((SECONDS - down)) -lt 30 ]; do
    equal "workers of a session made in the outage" 0 "$(leases in-the-outage)"
    sleep 2
  done
  "$KUBE_TOOLS/up" "$KUBE_DIR" >/dev/null 2>"$KUBE_DIR/up.log" || { cat "$KUBE_DIR/up.log" >&2; fail "the API server does not come back"; }
  ended_well before-the-outage "$limit" "$before"
  equal "workers of the session that ran" 1 "$(leases before-the-outage)"
  ended_well in-the-outage "$other" "$times"
  equal "workers of the session that waited" 1 "$(leases in-the-outage)"
}

# Two replicas of serve: one dies; then both are replaced, by some that let one session run at a time and a Job fail once.
case_5_replicas_and_an_upgrade() {
  local limit before id pod next next_before
  limit=$(nodes 36 38) before=$(times_on "$limit")
  equal "replicas of serve" 2 "$(k get deployment bosun -o jsonpath='{.status.readyReplicas}')"
  create two-replicas "$limit"
  pod=$(k get pods -l app.kubernetes.io/component=serve -o jsonpath='{.items[0].metadata.name}')
  k delete pod "$pod" --grace-period=0 --force >/dev/null 2>&1
  ended_well two-replicas "$limit" "$before"
  equal "workers" 1 "$(leases two-replicas)"
  equal "Jobs" 1 "$(job_count "$(number two-replicas)")"

  limit=$(nodes 39 41) before=$(times_on "$limit")
  create upgraded "$limit"
  until_true 90 "its worker has the lease" leases_reach upgraded 1
  helm_upgrade --set image.tag=next --set maxRunningSessions=1 --set worker.backoffLimit=0 || fail "helm upgrade"
  k rollout status deployment/bosun --timeout=180s >/dev/null || fail "the new serve does not become ready"
  ended_well upgraded "$limit" "$before"
  equal "workers over the upgrade" 1 "$(leases upgraded)"
  limit=$(nodes 42 43) before=$(times_on "$limit")
  next=$(nodes 54 55) next_before=$(times_on "$next")
  create afterwards "$limit"
  create behind "$next"
  id=$(number afterwards)
  until_true 120 "its nodes are being switched on" in_flight afterwards power_on
  # The Job controller gives up; the launcher does not.
  kill_worker "$id" KILL
  ended_well afterwards "$limit" "$before"
  equal "its Jobs" "$(printf 'job.batch/bosun-worker-%s-1\njob.batch/bosun-worker-%s-2' "$id" "$id")" "$(jobs_of "$id" | sort)"
  equal "the image of new workers" localhost/bosun:next \
    "$(k get pod "$(newest_pod "$id")" -o jsonpath='{.spec.containers[0].image}')"
  ended_well behind "$next" "$next_before"
  [[ $(field behind started_at) > $(field afterwards ended_at) ]] ||
    fail "two sessions ran at once: $(field behind started_at) is not after $(field afterwards ended_at)"
}

# Exactly what they need.
case_6_rights() {
  local what
  may() { kubectl auth can-i --as="system:serviceaccount:$NAMESPACE:$1" -n "${4:-$NAMESPACE}" "$2" "$3" 2>/dev/null || true; }
  for what in "create jobs.batch" "list jobs.batch" "delete jobs.batch" "list pods" "watch pods" \
    "create events"; do
    # shellcheck disable=SC2086
    equal "serve may $what" yes "$(may bosun $what)"
    # shellcheck disable=SC2086
    equal "a worker may $what" no "$(may bosun-worker $what)"
    # shellcheck disable=SC2086
    equal "serve may $what in another namespace" no "$(may bosun $what default)"
  done
  equal "all rights of serve" \
    "$(printf 'events [] [] [create]\njobs.batch [] [] [create delete list]\npods [] [] [list watch]')" "$(rights bosun)"
  equal "all rights of workers" "" "$(rights bosun-worker)"
}
# Whatever there is: what everybody may (to ask for one's own rights) is left out.
rights() {
  kubectl auth can-i --list --as="system:serviceaccount:$NAMESPACE:$1" -n "$NAMESPACE" --no-headers |
    sed 's/  */ /g' | grep -vE '^self|^ *\[/' | sort
}

# Postgres dies in mid-session and comes back with its volume.
case_7_the_database_comes_back() {
  local limit before
  limit=$(nodes 44 49) before=$(times_on "$limit")
  create without-database "$limit"
  until_true 120 "nodes are being switched on" in_flight without-database power_on
  # Never by force: the next one would begin on the volume while this one still writes, and what it writes would be lost.
  k delete pod bosun-postgresql-0 --grace-period=1 >/dev/null 2>&1
  until_true 120 "Postgres is ready again" k wait --for=condition=ready --timeout=1s pod/bosun-postgresql-0
  until_true 120 "serve is ready again" get "$API/bosun/v1/healthz"
  ended_well without-database "$limit" "$before"
}

# Who waits, for an operator or for somebody else's nodes, holds no pod. Paused before its worker begins, a session keeps
# every node outside the gate.
case_8_who_waits_holds_no_pod() {
  local limit before id waits
  limit=$(nodes 50 53) before=$(times_on "$limit")
  create resting "$limit"
  command resting pause
  id=$(number resting)
  until_true 120 "it is paused" state_is resting paused
  until_true 90 "its Job completes" k wait --for=condition=complete --timeout=1s "job/bosun-worker-$id-1"
  equal "worker processes of a paused session" "" "$(worker_pid "$id" || true)"
  equal "Jobs while it rests" 1 "$(job_count "$id")"
  get -X POST "$API/bosun/v1/sessions" -H 'content-type: application/json' -d "$(jq -n --arg limit "$limit" \
    '{name: "patient", template: "demo", operation: "shutdown", limit: $limit, on_conflict: "wait"}')" >/dev/null
  waits=$(number patient)
  equal "the state of one that wants the same nodes" waiting "$(field patient state)"
  equal "how often its nodes were switched on meanwhile" "$before" "$(times_on "$limit")"
  equal "Jobs of the one that waits" 0 "$(job_count "$waits")"
  command resting resume
  ended_well resting "$limit" "$before"
  equal "Jobs in all" 2 "$(job_count "$id")"
  until_true 180 "the patient one ends, too" state_is patient ended
  equal "its outcome" succeeded "$(field patient outcome)"
  equal "its Jobs" 1 "$(job_count "$waits")"
}

# In serve's own pod, with its environment and its ServiceAccount: what the Role gives, and what it lacks.
doctor_says() { { k exec deployment/bosun -c serve -- /bosun doctor -o json || true; } | jq -r ".[] | select(.check == \"$1\") | $2"; }
lacks_rights() { [ "$(doctor_says 'kubernetes rights' .result)" = error ]; }
case_9_the_doctor_knows_the_rights() {
  local found
  equal "what doctor says of the cluster" ok "$(doctor_says kubernetes .result)"
  equal "what it says of the workers' Job" ok "$(doctor_says "workers' Job" .result)"
  equal "what it says of rights" ok "$(doctor_says 'kubernetes rights' .result)"
  equal "what it says of the database" ok "$(doctor_says database .result)"
  k patch role bosun --type=json -p '[{"op": "replace", "path": "/rules/0/verbs", "value": ["create", "list"]}]' >/dev/null
  until_true 30 "a right that was taken away is missed" lacks_rights
  found=$(doctor_says 'kubernetes rights' .found)
  equal "what is missing" "it may not delete jobs in $NAMESPACE" "$found"
  k patch role bosun --type=json -p '[{"op": "replace", "path": "/rules/0/verbs", "value": ["create", "delete", "list"]}]' >/dev/null
}

# A step of a site's workflow in a Job of its own: its exit code and the last line of its log decide; whoever comes after a
# worker that died finds it by its name.
case_9_a_sites_own_job() {
  local limit first before id job worker call
  helm_upgrade --set worker.siteJobs.enabled=true --set-file workflows.checked=tests/kube/workflows/checked.yaml \
    --set-file workflows.checked_slow=tests/kube/workflows/checked_slow.yaml || fail "helm upgrade"
  k rollout status deployment/bosun --timeout=180s >/dev/null || fail "serve does not become ready"
  until_true 60 "serve is ready" get "$API/bosun/v1/healthz"
  equal "all rights of workers" \
    "$(printf 'configmaps [] [] [create]\njobs.batch [] [] [create get list]\npods [] [] [list]\npods/log [] [] [get]')" "$(rights bosun-worker)"

  # Three nodes, of which the job names one as failed. Its worker dies twice while it runs: once plainly, and once as if
  # the call's answer had never been recorded.
  limit=$(nodes 56 58) first=$(nodes 56 56)
  create checked "$limit" checked
  id=$(number checked)
  until_true 120 "its Job runs" site_job_runs "$id"
  job=$(site_jobs "$id")
  kill_worker "$id" KILL
  until_true 90 "another worker took over" leases_reach checked 2
  worker=$(worker_pid "$id")
  kill -STOP "$worker"
  call=$(sql "update effect set state = 'intended', remote_ref = null, answered_at = null
                where session_id = $id and verb = 'job' returning effect_no" | head -n 1)
  kill -KILL "$worker"
  until_true 240 "the session ends" state_is checked ended
  equal "its outcome" partial "$(field checked outcome)"
  equal "Jobs of its step" "$job" "$(site_jobs "$id")"
  equal "calls of its step" 1 "$(sql "select count(*) from effects where session_id = $id and verb = 'job'")"
  equal "that it was found" 1 "$(sql "select count(*) from effects where session_id = $id and effect_no = $call and found_at is not null")"
  equal "who failed, and why" "$first: no link" \
    "$(sql "select xname || ': ' || error from failed_components where session_id = $id")"
  equal "whom it was told" "$(tr ',' '\n' <<<"$limit" | sort)" "$(k logs "job/$job" | grep '^x' | sort)"
  equal "who owns the names" "Job/$job" \
    "$(k get configmap "$job" -o jsonpath='{.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}')"
  equal "the token in its pod" false "$(k get "job/$job" -o jsonpath='{.spec.template.spec.automountServiceAccountToken}')"
  equal "times that the failed one was ordered off" 0 "$(times_off "$first")"

  # One that refuses, one that takes too long, and one that somebody deletes: it is run again, in another Job.
  limit=$(nodes 59 59)
  create refused "$limit" checked
  until_true 120 "the refused one ends" state_is refused ended
  equal "why it failed" "exit code 3: no controller" "$(sql "select error from failed_components where session = 'refused'")"
  create slow "$limit" checked_slow
  until_true 120 "the slow one ends" state_is slow ended
  equal "why it failed" "it was still running after 5s, and was killed" \
    "$(sql "select error from failed_components where session = 'slow'")"
  create deleted "$limit" checked
  id=$(number deleted)
  until_true 120 "its Job runs" site_job_runs "$id"
  k delete job "$(site_jobs "$id")" --wait=false >/dev/null
  until_true 120 "the one whose Job was deleted ends" state_is deleted ended
  equal "its outcome" succeeded "$(field deleted outcome)"
  equal "its calls" 2 "$(sql "select count(*) from effects where session_id = $id and verb = 'job'")"
}
site_jobs() { k get jobs -l "bosun/site-job=$1" -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}'; }
site_job_runs() { [ "$(k get pods -l "bosun/site-job=$1" -o jsonpath='{.items[*].status.phase}')" = Running ]; }
