#!/usr/bin/env bash
# One real Kubernetes node in a network namespace of its own: kubelet, containerd, kube-proxy, CoreDNS, and kube-router as
# the enforcer of NetworkPolicy. Needs root; neither systemd nor Docker.
#   node.sh install             what it needs from Debian (containerd, runc, CNI plugins, nftables, iptables, ipset)
#   node.sh up DIR IMAGE.tar... start everything below DIR, import the images, wait for node and DNS; prints the kubeconfig
#   node.sh down DIR            stop and clean up: processes, mounts, control groups, namespaces, links
# From inside the namespace (and from pods) the host is 10.99.0.254; from the host the node is 10.99.0.1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
verb=${1:?install, up or down}
NS=aidp-e2e LINK=aidpe2e HOST_IP=10.99.0.254 NODE_IP=10.99.0.1 POD_CIDR=10.244.0.0/24 SERVICE_CIDR=10.96.0.0/16 DNS_IP=10.96.0.10
PACKAGES=(containerd runc containernetworking-plugins nftables iptables ipset iproute2 jq)

need_root() { [ "$(id -u)" = 0 ] || die "the node tests need root: network namespaces, control groups, iptables"; }
in_node() { nsenter --net=/run/netns/$NS "$@"; } # not `ip netns exec`: that mounts /sys anew and hides the control groups
kubectl() { "$BIN/kubectl" --kubeconfig "$D/admin.kubeconfig" "$@"; }
ctr_() { ctr -a "$D/ctd.sock" -n k8s.io "$@"; }
# daemon NAME COMMAND...: in the node's namespace; nsenter execs, so the pid is the daemon's.
daemon() {
  local name=$1; shift
  nohup nsenter --net=/run/netns/$NS "$@" </dev/null >>"$D/log/$name.log" 2>&1 &
  echo "$name $!" >>"$D/pids"
}

install() {
  need_root
  local missing=()
  for p in "${PACKAGES[@]}"; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "install with your package manager: ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

make_pki() {
  local p=$D/pki; mkdir -p "$p"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -keyout "$p/ca.key" -out "$p/ca.crt" -subj /CN=aidp-e2e-node-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature 2>/dev/null
  leaf apiserver /CN=kube-apiserver serverAuth "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:$NODE_IP"
  leaf admin /O=system:masters/CN=admin clientAuth
  leaf kcm /CN=system:kube-controller-manager clientAuth
  leaf scheduler /CN=system:kube-scheduler clientAuth
  leaf kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  openssl ecparam -name prime256v1 -genkey -noout -out "$p/sa.key"; openssl ec -in "$p/sa.key" -pubout -out "$p/sa.pub" 2>/dev/null
  for u in admin kcm scheduler; do
    cat >"$D/$u.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://$NODE_IP:6443", certificate-authority: "$p/ca.crt"}}]
users: [{name: $u, user: {client-certificate: "$p/$u.crt", client-key: "$p/$u.key"}}]
contexts: [{name: node, context: {cluster: node, user: $u}}]
current-context: node
K
    chmod 600 "$D/$u.kubeconfig"
  done
}
leaf() { # NAME SUBJECT EXTENDED_KEY_USAGE [SUBJECT_ALT_NAMES]
  local p=$D/pki
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$p/$1.key" -out "$p/$1.csr" -subj "$2" 2>/dev/null
  { echo basicConstraints=CA:FALSE; echo keyUsage=digitalSignature; echo "extendedKeyUsage=$3"; [ -z "${4:-}" ] || echo "subjectAltName=$4"; } >"$p/$1.ext"
  openssl x509 -req -in "$p/$1.csr" -CA "$p/ca.crt" -CAkey "$p/ca.key" -CAcreateserial -days 3 -extfile "$p/$1.ext" -out "$p/$1.crt" 2>/dev/null
}

network() {
  ip netns add $NS
  ip link add ${LINK}0 type veth peer name ${LINK}1 netns $NS
  ip addr add $HOST_IP/24 dev ${LINK}0 && ip link set ${LINK}0 up
  ip -n $NS addr add $NODE_IP/24 dev ${LINK}1 && ip -n $NS link set ${LINK}1 up && ip -n $NS link set lo up
  ip -n $NS route add default via $HOST_IP
  in_node sysctl -qw net.ipv4.ip_forward=1
  # Pods reach the host's own test servers, and their answers find the way back.
  ip route add $POD_CIDR via $NODE_IP dev ${LINK}0
}

control_plane() {
  local p=$D/pki
  daemon etcd "$BIN/etcd" --name node --data-dir "$D/etcd" --unsafe-no-fsync --log-level warn
  wait_until 30 "etcd is healthy" in_node curl -sf --max-time 2 http://127.0.0.1:2379/health
  daemon kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address=$NODE_IP \
    --cert-dir="$p" --tls-cert-file="$p/apiserver.crt" --tls-private-key-file="$p/apiserver.key" --client-ca-file="$p/ca.crt" \
    --authorization-mode=Node,RBAC --service-cluster-ip-range=$SERVICE_CIDR --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$p/sa.pub" --service-account-signing-key-file="$p/sa.key" \
    --kubelet-client-certificate="$p/kubelet-client.crt" --kubelet-client-key="$p/kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$here/../controlplane/audit-policy.yaml" --audit-log-path="$D/log/audit.jsonl" --audit-log-format=json --profiling=false
  wait_until 60 "kube-apiserver is ready" kubectl get --raw /readyz
  daemon kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$D/kcm.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false \
    --use-service-account-credentials=true --service-account-private-key-file="$p/sa.key" --root-ca-file="$p/ca.crt" \
    --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16 --service-cluster-ip-range=$SERVICE_CIDR
  daemon kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$D/scheduler.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false
  wait_until 60 "ServiceAccounts are made" kubectl get serviceaccount -n default default
}

container_runtime() {
  mkdir -p "$D/cni"
  cat >"$D/cni/10-e2e.conflist" <<C
{"cniVersion": "1.0.0", "name": "e2e", "plugins": [{"type": "ptp", "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$D/ipam", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
C
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox dies with "can't get final child's PID from pipe: EOF".
  if containerd --version | grep -q ' v\?2\.'; then
    cat >"$D/ctd.toml" <<C
version = 3
root = "$D/ctd"
state = "$D/ctd-state"
[grpc]
  address = "$D/ctd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.local/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$D/cni"
C
  else
    cat >"$D/ctd.toml" <<C
version = 2
root = "$D/ctd"
state = "$D/ctd-state"
[grpc]
  address = "$D/ctd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "registry.local/pause:1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$D/cni"
C
  fi
  daemon containerd containerd -c "$D/ctd.toml"
  wait_until 30 "containerd answers" ctr_ version
  local image; for image in "$@"; do ctr_ images import "$image" >/dev/null; done
}

kubelet_and_network() {
  cat >"$D/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://$D/ctd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $D/pki/ca.crt}}
authorization: {mode: Webhook}
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: /etc/resolv.conf
podLogsDir: $D/podlogs
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}
C
  daemon kubelet "$BIN/kubelet" --config="$D/kubelet.yaml" --kubeconfig="$D/admin.kubeconfig" --root-dir="$D/kubelet" --cert-dir="$D/kubelet/pki" \
    --hostname-override=node1 --node-ip=$NODE_IP
  cat >"$D/kube-proxy.yaml" <<C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $D/admin.kubeconfig}
clusterCIDR: 10.244.0.0/16
hostnameOverride: node1
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
C
  daemon kube-proxy "$BIN/kube-proxy" --config="$D/kube-proxy.yaml"
  kubectl wait --for=create node/node1 --timeout=60s >/dev/null
  kubectl wait --for=condition=Ready node/node1 --timeout=60s >/dev/null
  daemon kube-router "$BIN/kube-router" --kubeconfig="$D/admin.kubeconfig" --hostname-override=node1 --run-router=false --run-service-proxy=false \
    --run-firewall=true --service-cluster-ip-range=$SERVICE_CIDR --health-port=20244
  kubectl apply -f "$here/coredns.yaml" >/dev/null
  kubectl -n kube-system rollout status deployment/coredns --timeout=90s >/dev/null
}

up() {
  need_root; need_basics; install
  [ ! -e /run/netns/$NS ] || die "a node is up already; stop it with: node.sh down DIR"
  BIN=$("$here/../controlplane/build.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kube-proxy kube-router)
  mkdir -p "$D"/{log,etcd,kubelet,podlogs} && : >"$D/pids"
  network && make_pki && control_plane && container_runtime "$@" && kubelet_and_network
}

# shims: the processes that containerd started for this node's containers, told from others by its socket in their arguments.
shims() {
  local file arguments
  for file in /proc/[0-9]*/cmdline; do
    { mapfile -d "" -t arguments <"$file"; } 2>/dev/null || continue
    [[ ${arguments[0]:-} == *containerd-shim* && " ${arguments[*]} " == *" -address $D/ctd.sock "* ]] || continue
    file=${file#/proc/}; echo "${file%/cmdline}"
  done
}

down() {
  need_root
  if [ -f "$D/pids" ]; then tac "$D/pids" | while read -r name pid; do
    stop_pid "$pid"
    # Pods end while their runtime still lives, and after the kubelet, which would start them anew.
    [ "$name" != kubelet ] || ctr_ tasks ls -q 2>/dev/null | while read -r t; do ctr_ tasks kill -s SIGKILL "$t" >/dev/null 2>&1 || true; done
  done; fi
  # containerd leaves its shims running, so that containers outlive a restart of it. Here nothing shall.
  local round pids; for ((round = 0; round < 50; round++)); do
    pids=$(shims); [ -n "$pids" ] || break
    # One may just be starting another.
    xargs -r kill -9 <<<"$pids" 2>/dev/null || true; sleep 0.1
  done
  awk -v d="$D/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  for n in /run/netns/cni-*; do [ ! -e "$n" ] || { umount "$n" 2>/dev/null; rm -f "$n"; }; done
  ip link del ${LINK}0 2>/dev/null || true
  ip netns del $NS 2>/dev/null || true
  rm -rf "$D"
}

case $verb in
  install) install ;;
  up) D=${2:?folder}; shift 2; mkdir -p "$D"; D=$(cd "$D" && pwd); up "$@" || die "the node did not start; its logs are in $D/log"; echo "$D/admin.kubeconfig" ;;
  down) D=$(realpath -m "${2:?folder}"); down ;;
  *) die "unknown verb '$verb'" ;;
esac
