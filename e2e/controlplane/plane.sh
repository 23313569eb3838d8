#!/usr/bin/env bash
# A real Kubernetes control plane (etcd and kube-apiserver) on loopback, every file of it under one folder.
#   plane.sh up DIR               start on free ports; prints the path of the administrator's kubeconfig
#   plane.sh down DIR             stop
#   plane.sh run DIR              up, print the path, wait until stdin closes, down, remove DIR: ends with whoever started it
#   plane.sh stop-apiserver DIR   as if the API server had crashed
#   plane.sh start-apiserver DIR  on the same port again
#   plane.sh pause-apiserver DIR  as if it hung: connections stay open, nothing is answered
#   plane.sh resume-apiserver DIR
#   plane.sh stop-etcd DIR        the API server goes on without its storage
#   plane.sh start-etcd DIR       with the same data
# AIDP_EMULATED_VERSION=1.33 makes the API server behave as that version (KEP-4330).
# API only: no controller-manager (so no garbage collection, no `default` ServiceAccount), no scheduler, no node.
# $DIR/log/audit.jsonl holds one line per request (level Metadata): who asked for what, and the answer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
verb=${1:?up, down, run, or stop, start, pause, resume of a part} D=${2:?folder}
mkdir -p "$D" && D=$(cd "$D" && pwd)

# Elliptic curves: the whole PKI takes a second. 30 days: a plane kept by `make demo KEEP=1` outlives a holiday.
make_pki() {
  local p=$D/pki; [ ! -f "$p/done" ] || return 0
  mkdir -p "$p"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$p/ca.key" -out "$p/ca.crt" -subj /CN=aidp-e2e-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature 2>/dev/null
  leaf apiserver /CN=kube-apiserver serverAuth DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1
  leaf admin /O=system:masters/CN=admin clientAuth
  openssl ecparam -name prime256v1 -genkey -noout -out "$p/sa.key"
  openssl ec -in "$p/sa.key" -pubout -out "$p/sa.pub" 2>/dev/null
  touch "$p/done"
}
leaf() { # NAME SUBJECT EXTENDED_KEY_USAGE [SUBJECT_ALT_NAMES]
  local p=$D/pki
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$p/$1.key" -out "$p/$1.csr" -subj "$2" 2>/dev/null
  { echo basicConstraints=CA:FALSE; echo keyUsage=digitalSignature; echo "extendedKeyUsage=$3"; [ -z "${4:-}" ] || echo "subjectAltName=$4"; } >"$p/$1.ext"
  openssl x509 -req -in "$p/$1.csr" -CA "$p/ca.crt" -CAkey "$p/ca.key" -CAcreateserial -days 30 -extfile "$p/$1.ext" -out "$p/$1.crt" 2>/dev/null
}
make_kubeconfig() {
  local p=$D/pki
  cat >"$D/admin.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: aidp-e2e, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority: "$p/ca.crt"}}]
users: [{name: admin, user: {client-certificate: "$p/admin.crt", client-key: "$p/admin.key"}}]
contexts: [{name: aidp-e2e, context: {cluster: aidp-e2e, user: admin}}]
current-context: aidp-e2e
K
  chmod 600 "$D/admin.kubeconfig"
}
# Daemons let go of our stdout, or a caller that reads it would wait for them.
daemon() { local name=$1; shift; nohup "$@" </dev/null >>"$D/log/$name.log" 2>&1 & echo $! >"$D/$name.pid"; }
alive() { [ -f "$D/$1.pid" ] && kill -0 "$(cat "$D/$1.pid")" 2>/dev/null; }
stop() { [ ! -f "$D/$1.pid" ] || { stop_pid "$(cat "$D/$1.pid")"; rm -f "$D/$1.pid"; }; }
healthy_or_dead() { ! alive "$1" || "${@:2}"; }
give_up() { say "--- last lines of $D/log/$1.log"; tail -n 20 "$D/log/$1.log" >&2 || true; return 1; }

start_etcd() {
  # --unsafe-no-fsync: nothing here outlives the machine.
  daemon etcd "$BIN/etcd" --name e2e --data-dir "$D/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$PEER_PORT" --initial-cluster "e2e=http://127.0.0.1:$PEER_PORT"
  wait_until 30 "etcd is healthy" healthy_or_dead etcd curl -sf --max-time 2 "http://127.0.0.1:$ETCD_PORT/health" && alive etcd || give_up etcd
}
start_apiserver() {
  local p=$D/pki
  # ServiceAccount admission off: without a controller-manager no namespace has a `default` ServiceAccount.
  daemon kube-apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --bind-address=127.0.0.1 --secure-port="$API_PORT" --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
    --cert-dir="$p" --tls-cert-file="$p/apiserver.crt" --tls-private-key-file="$p/apiserver.key" --client-ca-file="$p/ca.crt" \
    --authorization-mode=Node,RBAC --anonymous-auth=true --disable-admission-plugins=ServiceAccount --allow-privileged=true --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$p/sa.pub" --service-account-signing-key-file="$p/sa.key" \
    --audit-policy-file="$here/audit-policy.yaml" --audit-log-path="$D/log/audit.jsonl" --audit-log-format=json --audit-log-mode=blocking \
    --profiling=false ${AIDP_EMULATED_VERSION:+--emulated-version="$AIDP_EMULATED_VERSION"} ${KUBE_APISERVER_FLAGS:-}
  wait_until 60 "kube-apiserver is ready" healthy_or_dead kube-apiserver curl -sf --max-time 2 --cacert "$p/ca.crt" --cert "$p/admin.crt" --key "$p/admin.key" \
    "https://127.0.0.1:$API_PORT/readyz" && alive kube-apiserver || give_up kube-apiserver
  [ -z "${AIDP_EMULATED_VERSION:-}" ] || emulates "$AIDP_EMULATED_VERSION"
}
# Whether the API server says itself that it is of this version: else a test of an old version would be one of the new.
emulates() {
  local p=$D/pki answer
  answer=$(curl -sf --max-time 5 --cacert "$p/ca.crt" --cert "$p/admin.crt" --key "$p/admin.key" "https://127.0.0.1:$API_PORT/version")
  python3 - "$answer" "$1" <<'PY' ||
import json, sys
version = json.loads(sys.argv[1])
of = lambda part: version.get("emulation" + part, version[part.lower()])
sys.exit(f"{of('Major')}.{of('Minor')}" != sys.argv[2])
PY
    { say "the API server does not emulate Kubernetes $1: $answer"; return 1; }
}

up() {
  need_basics; need_python
  BIN=$("$here/build.sh")
  mkdir -p "$D/log"; make_pki
  local attempt
  for attempt in 1 2 3; do # a port found free may be taken by the time it is bound
    { read -r API_PORT; read -r ETCD_PORT; read -r PEER_PORT; } < <(free_ports 3)
    printf 'BIN=%q\nAPI_PORT=%s\nETCD_PORT=%s\nPEER_PORT=%s\n' "$BIN" "$API_PORT" "$ETCD_PORT" "$PEER_PORT" >"$D/env"
    make_kubeconfig
    if start_etcd && start_apiserver; then return 0; fi
    stop kube-apiserver; stop etcd; rm -rf "$D/etcd"
    say "control plane did not start (attempt $attempt of 3)"
  done
  return 1
}
down() { stop kube-apiserver; stop etcd; }

case $verb in
  up) up || die "the control plane did not start; its logs are in $D/log"; echo "$D/admin.kubeconfig" ;;
  down) down ;;
  run)
    trap 'down; rm -rf "$D"' EXIT
    trap 'exit 0' INT TERM
    up || die "the control plane did not start; its logs are in $D/log"
    echo "$D/admin.kubeconfig"
    while read -r _; do :; done
    ;;
  stop-apiserver) stop kube-apiserver ;;
  pause-apiserver) kill -STOP "$(cat "$D/kube-apiserver.pid")" ;;
  resume-apiserver) kill -CONT "$(cat "$D/kube-apiserver.pid")" ;;
  stop-etcd) stop etcd ;;
  start-etcd) . "$D/env"; start_etcd ;;
  start-apiserver) . "$D/env"; start_apiserver ;;
  *) die "unknown verb '$verb'" ;;
esac
