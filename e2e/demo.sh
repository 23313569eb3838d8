#!/usr/bin/env bash
# demo.sh        the whole story on this machine: a real API server, an AWS emulator, the operator. Nothing is left behind.
# KEEP=1 demo.sh leaves it running and prints how to use it;   demo.sh stop   ends that.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
root=$(dirname "$E2E")
D=${AIDP_DEMO_DIR:-$root/target/demo}
began=$SECONDS

if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '   %s\n' "$*"; }
# Shows a command as it would be typed, then runs it.
run() { printf '   $ %s\n' "$*"; "$@"; }
kubectl() { "$BIN/kubectl" "$@"; }

stop() {
  local p
  for p in operator proxy moto; do [ ! -f "$D/$p.pid" ] || { stop_pid "$(cat "$D/$p.pid")"; rm -f "$D/$p.pid"; }; done
  [ ! -d "$D/plane" ] || "$E2E/controlplane/plane.sh" down "$D/plane"
  rm -rf "$D"
}
if [ "${1:-}" = stop ]; then stop; exit; fi
failed() {
  local status=$?
  if [ $status != 0 ] && [ -f "$D/operator.log" ]; then
    kubectl get adpp -o yaml >&2 || true
    say ""; say "the operator's last words:"; tail -n 15 "$D/operator.log" >&2
  fi
  if [ $status != 0 ] || [ "${KEEP:-}" != 1 ]; then stop; fi
  exit $status
}

step "Prerequisites"
need cargo "Install Rust 1.95 or newer from https://rustup.rs/."
need cc "Debian, Ubuntu: apt-get install build-essential."
need_basics; need_python
if [ -z "${KUBEBUILDER_ASSETS:-}" ] || [ -z "${AIDP_HELM:-}" ]; then need_go; fi
note "all there"
[ ! -d "$D" ] || stop # a demo that was kept, or killed
trap failed EXIT
trap 'exit 130' INT TERM
mkdir -p "$D"

step "Building (the first time takes some minutes; later runs find everything in $AIDP_CACHE and target/)"
BIN=$("$E2E/controlplane/build.sh")
moto=$("$E2E/tools.sh" moto)
helm=$("$E2E/tools.sh" helm)
if [ -z "${AIDP_BIN:-}" ] || [ -z "${AIDP_PROXY_BIN:-}" ]; then
  (cd "$root" && cargo build --workspace --bins)
  target=$(cd "$root" && cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
  AIDP_BIN=$target/debug/aidp AIDP_PROXY_BIN=$target/debug/aidp-aws-proxy
fi
built=$((SECONDS - began))

step "Starting a Kubernetes API server, an AWS emulator (moto) and a TLS proxy in front of it"
export KUBECONFIG; KUBECONFIG=$("$E2E/controlplane/plane.sh" up "$D/plane")
port=$(free_ports 1)
"$moto" -H 127.0.0.1 -p "$port" </dev/null >"$D/moto.log" 2>&1 & echo $! >"$D/moto.pid"
export EMULATOR_URL=http://127.0.0.1:$port
wait_until 60 "the AWS emulator answers" curl -s -o "$D/probe" "$EMULATOR_URL"
"$AIDP_PROXY_BIN" --upstream "127.0.0.1:$port" --ca "$D/ca.pem" --env "$D/proxy.env" </dev/null >"$D/proxy.log" 2>&1 & echo $! >"$D/proxy.pid"
wait_until 20 "the proxy listens" test -s "$D/proxy.env"
. "$D/proxy.env"
python=$(dirname "$moto")/python
outsider() { "$python" "$E2E/demo.py" "$@"; }
note "API server $(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}'), AWS $AWS_ENDPOINT_URL"

step "A bucket as one finds them: no encryption configured, open to plaintext, somebody else's statement in its policy"
outsider seed
outsider show

step "Installing the chart, and starting the operator with its ServiceAccount's token: no node runs here that would start its pods"
note '$ helm install aidp charts/aidp --namespace aidp-system --create-namespace'
"$helm" install aidp "$root/charts/aidp" --namespace aidp-system --create-namespace >"$D/install.log"
kubectl wait --for=condition=Established --timeout=60s crd/aidataprotectionpolicies.aidp.dev >/dev/null
kubectl create namespace ml >/dev/null
token=$(kubectl create token aidp -n aidp-system --duration=12h)
kubectl config view --raw --minify --flatten >"$D/operator.kubeconfig"; chmod 600 "$D/operator.kubeconfig"
KUBECONFIG=$D/operator.kubeconfig kubectl config set-credentials aidp --token="$token" >/dev/null
KUBECONFIG=$D/operator.kubeconfig kubectl config set-context --current --user=aidp >/dev/null
KUBECONFIG=$D/operator.kubeconfig kubectl config unset users.admin >/dev/null
listen=127.0.0.1:$(free_ports 1)
env -i PATH="$PATH" HOME="$D" KUBECONFIG="$D/operator.kubeconfig" AWS_CA_BUNDLE="$D/ca.pem" \
  AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=AKIAOPERATOR00000000 AWS_SECRET_ACCESS_KEY=secret \
  "$AIDP_BIN" run --cluster-id demo --oidc-provider-arn arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/DEMO \
  --network-enforcer kube-router --operator-namespace aidp-system --listen-address "$listen" --log-format text --max-interval 5s \
  </dev/null >"$D/operator.log" 2>&1 & echo $! >"$D/operator.pid"
wait_until 60 "the operator is ready" curl -sf "http://$listen/readyz"
note "for the demo it looks again every 5 seconds; without being told it is every 5 minutes"

step "Applying examples/quickstart.yaml: mode Audit, so it reads and reports"
run kubectl apply -f "$root/examples/quickstart.yaml"
kubectl wait --for=condition=Drifted --timeout=90s adpp/quickstart >/dev/null
run kubectl get adpp quickstart
note "what it found (status.findings):"
kubectl get adpp quickstart -o json | outsider findings
note "and nothing has been changed in AWS:"
outsider show

step "From Audit to Enforce"
run kubectl patch adpp quickstart --type=merge -p '{"spec":{"mode":"Enforce"}}'
enforced() { [ "$(kubectl get adpp quickstart -o 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}')" = Enforced ]; }
wait_until 120 "the policy is enforced" enforced
run kubectl get adpp quickstart
note "what is there now; the partner's statement is as it was:"
outsider show
note "and in the cluster:"
run kubectl get networkpolicies -n ml
note "No node runs here, so nothing enforces this NetworkPolicy: the operator believes what it was told"
note "(--network-enforcer kube-router), and the status shows that as its evidence:"
run kubectl get adpp quickstart -o 'jsonpath={.status.targets.egress}{"\n"}'

step "Now somebody tampers"
# tampered WHAT CONTROLS: waits for the repair in the history and shows it.
tampered() {
  local start=$SECONDS
  repaired() { kubectl get adpp quickstart -o json | outsider entry "$2" "$3" >"$D/entry"; }
  wait_until 90 "$1 is repaired" repaired - "$2" "$3"
  cat "$D/entry"; note "$((SECONDS - start)) s after the tampering"
}
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
note "1. the bucket's default encryption is deleted"
t=$(now); outsider tamper-encryption; tampered "the encryption" S3.DefaultEncryption "$t"
note "2. the training role gets s3:* on everything"
t=$(now); outsider tamper-role; tampered "the role" IAM.ReadOnly "$t"
note "3. the NetworkPolicy lets everything out"
t=$(now)
np=$(kubectl get networkpolicies -n ml -o 'jsonpath={.items[0].metadata.name}')
run kubectl patch networkpolicy -n ml "$np" --type=merge --field-manager=intruder -p '{"spec":{"egress":[{}]}}'
tampered "the NetworkPolicy" Net.Egress "$t"
wait_until 60 "all is well again" enforced
run kubectl get adpp quickstart
outsider show

step "Done in $((SECONDS - began)) s, $built of them building"
if [ "${KEEP:-}" = 1 ]; then
  cat <<K
   It is still running. In another shell:
     export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH
     kubectl get adpp -w
     kubectl explain adpp.spec
     tail -f $D/operator.log
     curl -s $PROXY_CONTROL_URL/counts          AWS calls so far, by operation
     curl -s http://$listen/metrics
   To end it: make demo-stop
K
else
  note "Nothing is left running. make demo KEEP=1 leaves it up to look around."
fi
