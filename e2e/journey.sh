#!/usr/bin/env bash
# journey.sh [FILTER...]: the end-to-end tests. Builds what they need first, so that nothing is skipped and no test waits
# for a compiler. At most one control plane for two cores at a time (AIDP_E2E_PLANES overrides).
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh
need_basics; need_python
if [ -z "${KUBECONFIG:-}" ]; then e2e/controlplane/build.sh >/dev/null; else say "using the cluster of KUBECONFIG=$KUBECONFIG"; fi
e2e/tools.sh moto >/dev/null
AIDP_BIN=$(aidp_binary) cargo test --workspace --features aidp-e2e/e2e --test journey -- "$@"
