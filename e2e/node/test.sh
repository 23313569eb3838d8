#!/usr/bin/env bash
# test.sh [FILTER...]: the tests on a real node. Starts the node, runs them one after the other, and takes everything down
# however that ends.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/lib.sh
need_basics; need_python; need_go
[ "$(id -u)" = 0 ] || die "the node tests need root: network namespaces, control groups, iptables"
e2e/node/node.sh install

binaries=$(e2e/controlplane/build.sh kubectl coredns helm)
AIDP_BIN=$(aidp_binary)
D=$(mktemp -d "${TMPDIR:-/tmp}/aidp-node-XXXXXX")
trap 'e2e/node/node.sh down "$D/node" >/dev/null 2>&1 || true; rm -rf "$D"' EXIT
trap 'exit 1' INT TERM
# Stripped: the debug build is large, and what it does is the same.
cp "$AIDP_BIN" "$D/aidp" && strip "$D/aidp"
e2e/node/images.sh "$D/images" "$D/aidp" "$binaries/coredns"
say "starting the node"
kubeconfig=$(e2e/node/node.sh up "$D/node" "$D"/images/*.tar)
e2e/tools.sh moto >/dev/null

AIDP_NODE_KUBECONFIG=$kubeconfig AIDP_KUBECTL=$binaries/kubectl AIDP_HELM=$binaries/helm AIDP_NODE_DIR=$D \
  cargo test --workspace --features aidp-e2e/node --test node -- --test-threads=1 --show-output "$@"
