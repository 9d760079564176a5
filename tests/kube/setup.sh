# The cluster, the images, the machine and the chart. Sourced, not run.
# shellcheck shell=bash

PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
passed=

install_packages() {
  local needed=(etcd-server containerd runc containernetworking-plugins iptables iproute2 conntrack socat mount openssl
    ca-certificates curl procps xz-utils jq busybox-static postgresql tzdata)
  # The way to helm leads through these.
  type npm >/dev/null 2>&1 || needed+=(npm)
  type python3 >/dev/null 2>&1 || needed+=(python3)
  if ! dpkg -s "${needed[@]}" >/dev/null 2>&1; then
    say "installing packages"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${needed[@]}"; } \
      >/dev/null 2>&1 </dev/null || give_up "apt-get install ${needed[*]} failed"
    PG_BIN=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  fi
  HELM=$("$KUBE_TOOLS/get-helm") || give_up "helm cannot be installed"
  type kubectl >/dev/null 2>&1 || PATH=$PATH:$(dirname "$HELM")
}

start_cluster() {
  KUBE_DIR=$(mktemp -d /var/tmp/bosun-kube.XXXXXX) # sockets below it: a short path
  export KUBE_DIR
  # An overlay upon an overlay is none.
  [ "$(stat -f -c %T "$KUBE_DIR")" != overlayfs ] || export KUBE_SNAPSHOTTER=native
  KUBECONFIG=$("$KUBE_TOOLS/up" "$KUBE_DIR" 2>"$KUBE_DIR/up.log") || { cat "$KUBE_DIR/up.log" >&2; give_up "it does not start"; }
  export KUBECONFIG
}

# What is left of a failure is shown before the cluster goes.
clean() {
  trap '' EXIT INT TERM HUP
  [ -n "${KUBE_DIR:-}" ] || return 0
  if [ -z "$passed" ] && [ -n "${KUBECONFIG:-}" ]; then
    k get pods,jobs -o wide >&2 || true
    k get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 25 >&2 || true
    k logs -l app.kubernetes.io/component=serve --tail=40 --prefix >&2 || true
  fi
  if [ -n "${KEEP:-}" ]; then
    say "kept: KUBECONFIG=$KUBECONFIG; to end it: $KUBE_TOOLS/down --purge $KUBE_DIR"
  else
    "$KUBE_TOOLS/down" --purge "$KUBE_DIR" >/dev/null 2>&1 || say "the cluster under $KUBE_DIR was not taken away"
  fi
}

ctr_import() { (. "$KUBE_TOOLS/lib.sh" && use_dir "$KUBE_DIR" && kctr "$@"); }

load_images() {
  IMAGE=localhost/bosun:test OUT=$KUBE_DIR/bosun.tar .ci/image >&2
  ctr_import images import --digests=false "$KUBE_DIR/bosun.tar" >/dev/null
  # The next version, for the upgrade.
  ctr_import images tag localhost/bosun:test localhost/bosun:next >/dev/null
  postgres_image
  # What a site's Job runs in.
  "$KUBE_TOOLS/load-image" -u 65532 localhost/tools:test /bin/busybox /bin/busybox:/bin/sh >/dev/null
}

# Debian's server with what it links to, and a shell. It takes what the official image takes from its environment.
postgres_image() {
  local work file files=()
  work=$(mktemp -d)
  echo 'postgres:x:999:999::/:/bin/sh' >"$work/passwd"
  cat >"$work/entrypoint.sh" <<EOF
#!/bin/sh
set -e
if [ ! -s "\$PGDATA/PG_VERSION" ]; then
  /busybox rm -rf "\$PGDATA.new"
  echo "\$POSTGRES_PASSWORD" >/tmp/password
  $PG_BIN/initdb -D "\$PGDATA.new" -U "\$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust \\
    --auth-host=scram-sha-256 -E UTF8 --locale=C
  echo "host all all all scram-sha-256" >>"\$PGDATA.new/pg_hba.conf"
  echo "create database \$POSTGRES_DB" | $PG_BIN/postgres --single -D "\$PGDATA.new" postgres
  /busybox mv "\$PGDATA.new" "\$PGDATA"
fi
exec $PG_BIN/postgres -D "\$PGDATA" -c listen_addresses='*' -c max_connections=200
EOF
  chmod 755 "$work/entrypoint.sh"
  files=("$work/passwd:/etc/passwd" "$work/entrypoint.sh:/entrypoint.sh" /bin/busybox:/bin/sh)
  local programs=("$PG_BIN"/{initdb,postgres,psql}) lib=${PG_BIN%/bin}/lib share=/usr/share/postgresql/${PG_BIN//[!0-9]/}
  local modules=("$lib"/*.so)
  for file in "${programs[@]}" "${modules[@]}" $(find "$share" -type f); do
    files+=("$file:$file")
  done
  for file in $(ldd "${programs[@]}" "${modules[@]}" 2>/dev/null | grep -v llvm | grep -o ' /[^ )]*' | sort -u) \
    /lib64/ld-linux-*.so.* /usr/share/zoneinfo/UTC; do
    [[ $file == "$lib"/* ]] || files+=("$file:$file")
  done
  "$KUBE_TOOLS/load-image" -u 999:999 localhost/postgres:test /bin/busybox "${files[@]}" >/dev/null
  rm -rf "$work"
}

install_chart() {
  kubectl create namespace "$NAMESPACE" >/dev/null
  mkdir -p "$KUBE_DIR/volume"
  chown 999:999 "$KUBE_DIR/volume"
  sed "s|@volume@|$KUBE_DIR/volume|; s|@machine@|$MACHINE_IP|; s|@serve@|$SERVE_IP|" tests/kube/machine.yaml | k apply -f - >/dev/null
  helm_upgrade --install || fail "helm install"
  k rollout status deployment/bosun --timeout=180s >/dev/null || fail "serve does not become ready"
  until_true 60 "the machine answers" get "$MACHINE/sim/nodes"
  until_true 60 "the API answers" get "$API/bosun/v1/healthz"
  get "$MACHINE/sim/images" | jq '[.[] | select(.etag != "")][0] | {
    cfs: {configuration: "compute-config"},
    boot_sets: {compute: {path: .path, etag: .etag, type: "s3", rootfs_provider: "sbps", node_roles_groups: ["Compute"]}}}' |
    get -X PUT "$API/v2/sessiontemplates/demo" -H 'content-type: application/json' -d @- >/dev/null
}

# helm_upgrade ARGUMENTS…
helm_upgrade() {
  "$HELM" upgrade bosun charts/bosun -n "$NAMESPACE" -f tests/kube/values.yaml --set postgresql.command="{/busybox,sh,/entrypoint.sh}" \
    --set service.clusterIP="$SERVE_IP" --set postgresql.clusterIP="$POSTGRES_IP" \
    --set "hostAliases[0].ip=$POSTGRES_IP" --set "hostAliases[0].hostnames={bosun-postgresql}" \
    $(for service in hsm pcs bss cfs ims tapms; do echo --set "services.$service=$MACHINE"; done) --set "services.s3=$MACHINE/s3" \
    "$@" >/dev/null
}
