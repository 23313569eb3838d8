#!/usr/bin/env bash
# generate.sh           rewrites every generated file
# generate.sh --check   fails when one of them differs from what the code says
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh
aidp=$(aidp_binary)
fresh=$(mktemp); trap 'rm -f "$fresh"' EXIT
# generated FILE COMMAND...: the file is what the command prints.
generated() {
  local file=$1; shift
  "$@" >"$fresh"
  if [ "${check:-}" = 1 ]; then
    diff -u "$file" "$fresh" || die "$file is not what the code says: run 'make generate' and commit the result"
  else
    cp "$fresh" "$file"
  fi
}
# The chart with its default values for whoever does without Helm: its namespace before it, Helm's own labels taken away.
plain_manifests() {
  cat <<Y
# Generated from charts/aidp by e2e/generate.sh: the chart with its default values, for whoever does without Helm.
#   kubectl apply --server-side -f charts/install.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: aidp-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
Y
  "$helm" template aidp charts/aidp --namespace aidp-system --skip-tests | sed -E '/^ *(helm.sh\/chart|app.kubernetes.io\/managed-by): /d'
}
helm=$(e2e/tools.sh helm)
[ "${1:-}" != --check ] || check=1
generated crds/aidp.dev_aidataprotectionpolicies.yaml "$aidp" crd
generated charts/aidp/files/crd.yaml "$aidp" crd
generated charts/install.yaml plain_manifests
generated docs/api.md "$aidp" docs api
generated docs/controls.md "$aidp" docs controls
