#!/usr/bin/env bash
# test.sh [STAGE...]: every stage of `make test`, or the named ones; each one even when an earlier one failed, then a table
# of seconds. Fails if any failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh
need cargo "Install Rust from https://rustup.rs/."
need git "Debian, Ubuntu: apt-get install git."
need cc "aws-lc and the Rust linker need a C compiler. Debian, Ubuntu: apt-get install build-essential."
need_basics; need_python
[ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -n "${AIDP_HELM:-}" ] || need_go

wanted=" $* " names=() seconds=() results=() failed=0
stage() {
  local name=$1 start=$SECONDS; shift
  [[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
  say ""; say "=== $name: $*"
  if "$@"; then results+=(ok); else results+=(FAILED); failed=1; fi
  names+=("$name") seconds+=($((SECONDS - start)))
}
tools() { e2e/tools.sh moto cargo-deny fakecloud versitygw helm promtool monitoring-crds && e2e/controlplane/build.sh; }

# The core of the journey on the oldest Kubernetes version that is supported; all versions: make test-versions.
oldest() {
  if [ -n "${KUBECONFIG:-}" ]; then say "not run: the cluster of KUBECONFIG has its own version"; return; fi
  AIDP_EMULATED_VERSION=1.33 e2e/journey.sh converge:: crd::
}

# The demo as a user runs it, on the binaries that the tests built.
demo() {
  local aidp; aidp=$(aidp_binary) || return
  AIDP_BIN=$aidp AIDP_PROXY_BIN=${aidp%/*}/aidp-aws-proxy e2e/demo.sh
}

stage format cargo fmt --all --check
stage clippy cargo clippy --workspace --all-targets --features aidp-e2e/e2e,aidp-e2e/node -- -D warnings
stage no-operator cargo clippy -p aidp --no-default-features -- -D warnings
stage compile cargo test --workspace --no-run
stage unit cargo test --workspace --no-fail-fast
stage tools tools
stage generated e2e/generate.sh --check
stage deny make --no-print-directory deny
stage e2e e2e/journey.sh
stage e2e-oldest oldest
stage demo demo

say ""
for i in "${!names[@]}"; do printf '%-12s %6d s  %s\n' "${names[i]}" "${seconds[i]}" "${results[i]}"; done
printf '%-12s %6d s\n' total "$SECONDS"
exit "$failed"
