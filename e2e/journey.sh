#!/usr/bin/env bash
# journey.sh [FILTER...]: the end-to-end tests. Builds what they need first, so that nothing is skipped and no test waits
# for a compiler. AIDP_E2E_PLANES says how many control planes run at a time (~0.5 GB each); without it as many as there are
# processors, at most 4: the tests hold the operator to times, which a crowded machine can't keep.
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh
need_basics; need_python
if [ -z "${KUBECONFIG:-}" ]; then e2e/controlplane/build.sh >/dev/null; else say "using the cluster of KUBECONFIG=$KUBECONFIG"; fi
e2e/tools.sh moto >/dev/null
AIDP_HELM=$(e2e/tools.sh helm); export AIDP_HELM
# The tests on a server that enforces policies (~10 min once) and on one that is not AWS's (~1 min once) need them; with a
# filter, those that run install them.
[ $# -gt 0 ] || e2e/tools.sh fakecloud versitygw >/dev/null
AIDP_BIN=$(aidp_binary) || die "without an operator there is nothing to test"
[ -x "$AIDP_BIN" ] || die "no operator to test at '$AIDP_BIN'"
export AIDP_BIN
[ -z "${AIDP_EMULATED_VERSION:-}" ] || say "the API servers emulate Kubernetes $AIDP_EMULATED_VERSION"
rm -rf target/e2e/seconds target/e2e/measured target/e2e/rights
processors=$(nproc)
export AIDP_E2E_PLANES=${AIDP_E2E_PLANES:-$((processors < 4 ? processors : 4))}
status=0
cargo test --workspace --features aidp-e2e/e2e --test journey -- --test-threads "$AIDP_E2E_PLANES" "$@" || status=$?
# What the tests asked for against what the operator is given. Whether all that is given is needed, only the whole can say.
if [ "$status" = 0 ] && [ -d target/e2e/rights ]; then
  AIDP_E2E_WHOLE=$([ $# -gt 0 ] || echo 1) cargo test --workspace --features aidp-e2e/e2e --test rights || status=$?
fi
# sed reads to the end: head would leave sort with nobody to write to, and the whole journey red for it.
[ ! -f target/e2e/seconds ] || { say "slowest tests, in seconds:"; sort -rn target/e2e/seconds | sed -n 1,10p >&2; }
[ ! -f target/e2e/measured ] || { say "measured:"; sort -k 6 target/e2e/measured >&2; }
exit "$status"
