# Helpers of the tests on a cluster. Sourced, not run.
# shellcheck shell=bash

NAMESPACE=bosun
# There is no DNS in the cluster, so what has to be found has an address of its own.
SERVE_IP=10.96.10.10 MACHINE_IP=10.96.10.20 POSTGRES_IP=10.96.10.30
API=http://$SERVE_IP MACHINE=http://$MACHINE_IP
WORKERS=app.kubernetes.io/component=worker

say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }
# For what is no fault of bosun's.
give_up() { say "there can be no cluster here: $*"; exit 77; }

k() { kubectl --request-timeout=20s -n "$NAMESPACE" "$@"; }
# An address may lead to a pod that has just died: whoever is refused tries again.
get() { curl -fsS --noproxy '*' --max-time 20 --retry 5 --retry-delay 1 --retry-connrefused "$@"; }
sql() { k exec bosun-postgresql-0 -- "$PG_BIN/psql" -qAtX -h /var/run/postgresql -U bosun -d bosun -c "$1"; }

# until_true SECONDS WHAT COMMAND…: waits for a condition, and says what never came true.
until_true() {
  local end=$((SECONDS + $1)) what=$2 seconds=$1
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || {
      get "$API/bosun/v1/sessions" | jq -c '.[] | {name, state, outcome, reason}' >&2 || true
      fail "not within $seconds s: $what"
    }
    sleep 0.3
  done
}
equal() { [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"; }

# --- the machine
# The nodes FROM to TO (from 0) as a limit.
nodes() { get "$MACHINE/sim/nodes" | jq -r "[.[$1:$2 + 1][].xname] | join(\",\")"; }
# times_on LIMIT: how often the nodes were switched on, one number a node.
times_on() { times "$1" on; }
times_off() { times "$1" off; }
times() {
  get "$MACHINE/sim/edges" | jq -r --arg limit "$1" --arg power "$2" \
    '. as $edges | $limit | split(",")[] | [$edges[.][]? | select(.power == $power)] | length'
}

# --- sessions
# create NAME LIMIT [OPERATION]
create() {
  get -X POST "$API/bosun/v1/sessions" -H 'content-type: application/json' -d "$(jq -n \
    --arg name "$1" --arg limit "$2" --arg operation "${3:-reboot}" \
    '{name: $name, template: "demo", operation: $operation, limit: $limit}')" >/dev/null
}
show() { get "$API/bosun/v1/sessions/$1"; }
field() { show "$1" | jq -r ".$2"; }
state_is() { [ "$(field "$1" state)" = "$2" ]; }
number() { field "$1" id; }
# events NAME FILTER: how many events a jq filter selects
events() { get "$API/bosun/v1/sessions/$1/events?limit=1000" | jq "[.[] | select($2)] | length"; }
leases() { events "$1" '.kind == "lease_acquired"'; }
leases_reach() { [ "$(leases "$1")" -ge "$2" ]; }
# Under way: some step of it has components in flight.
in_flight() { show "$1" | jq -e --arg step "$2" '.steps[] | select(.name | endswith($step)) | select(.in_flight + .succeeded > 0)'; }
command() { # SESSION KIND
  get -X POST "$API/bosun/v1/sessions/$1/commands" -H 'content-type: application/json' \
    -d "{\"kind\": \"$2\"}" >/dev/null
}

# ended_well NAME LIMIT TIMES…: it succeeded, and no node was switched on more than once more than before (TIMES)
ended_well() {
  local name=$1 limit=$2 before=$3
  until_true 240 "session $name ends" state_is "$name" ended
  equal "the outcome of $name" succeeded "$(field "$name" outcome)"
  equal "how often nodes of $name were switched on" \
    "$(awk '{ print $1 + 1 }' <<<"$before")" "$(times_on "$limit")"
}

# --- workers
jobs_of() { k get jobs -l "bosun/session=$1" -o name; }
job_count() { jobs_of "$1" | wc -l; }
pods_of() { k get pods -l "bosun/session=$1" --sort-by=.metadata.creationTimestamp -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}'; }
newest_pod() { pods_of "$1" | tail -n 1; }
exit_codes() {
  k get pods -l "bosun/session=$1" --sort-by=.metadata.creationTimestamp \
    -o jsonpath='{range .items[*]}{.status.containerStatuses[0].state.terminated.exitCode}{" "}{end}'
}
last_message() { k logs "$1" | tail -n 1 | jq -r .message; }
# The process of a session's worker, on this machine: its containers are ours to see.
worker_pid() { pgrep -f "^/bosun worker .*--session=$1\$" | head -n 1; }
has_worker_pid() { [ -n "$(worker_pid "$1")" ]; }
kill_worker() { # SESSION-NUMBER SIGNAL
  until_true 60 "session $1 has a worker process" has_worker_pid "$1"
  kill "-$2" "$(worker_pid "$1")"
}
