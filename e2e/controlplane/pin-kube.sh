#!/usr/bin/env bash
# pin-kube.sh VERSION: rewrites kube/go.mod and kube/go.sum for another Kubernetes version, e.g. v1.36.3. Commit both.
# k8s.io/kubernetes is an ordinary module, but it names its staging modules by relative path: each gets a `replace` by
# its published version. The list comes from that version's own go.mod.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
need_go; need jq "Debian, Ubuntu: apt-get install jq."
version=${1:?a Kubernetes version, e.g. v1.36.3} staging=v0.${1#v1.}
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off
upstream=$(cd / && go mod download -json "k8s.io/kubernetes@$version" | jq -r .GoMod)
{
  echo "module aidp.dev/e2e/controlplane/kube"; echo
  grep -E '^go [0-9]' "$upstream"; echo
  for c in kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kube-proxy; do echo "tool k8s.io/kubernetes/cmd/$c"; done
  echo; echo "require k8s.io/kubernetes $version"; echo; echo "replace ("
  sed -nE "s#^[[:space:]]*(k8s\.io/[a-z0-9-]+) => \./staging/.*#\t\1 => \1 $staging#p" "$upstream"; echo ")"
} >"$here/kube/go.mod"
cd "$here/kube" && go mod tidy
