#!/usr/bin/env bash
# build.sh [BINARY...]   (default: etcd kube-apiserver kubectl)
# Builds the named binaries of a real Kubernetes from pinned Go modules, unless the cache has them, and prints the folder
# that holds them all: the layout that KUBEBUILDER_ASSETS means. Cold, two cores: ~4 min for the default three.
#
# What a binary is built from (its module's go.mod and go.sum, this script, the Go version) is its key in the cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
[ $# -gt 0 ] || set -- etcd kube-apiserver kubectl

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for b in "$@"; do [ -x "$KUBEBUILDER_ASSETS/$b" ] || die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS holds no executable '$b'"; done
  echo "$KUBEBUILDER_ASSETS"; exit
fi
need_go
need openssl "Debian, Ubuntu: apt-get install openssl."
# local: a go.mod that asks for a newer Go must fail here, not download a toolchain behind our back.
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off
GO=$(go env GOVERSION)
# Go 1.27's new encoding/json corrupts /openapi/v2 of Kubernetes up to 1.37.
case $GO in go1.2[7-9]*) export GOEXPERIMENT=nojsonv2 ;; esac

module_of() {
  case $1 in
    kube-apiserver | kube-controller-manager | kube-scheduler | kubectl | kubelet | kube-proxy) echo kube ;;
    etcd) echo etcd ;; kube-router) echo netpol ;; coredns) echo dns ;; helm) echo helm ;;
    *) die "unknown binary '$1'" ;;
  esac
}
package_of() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-router) echo github.com/cloudnativelabs/kube-router/v2/cmd/kube-router ;;
    coredns) echo github.com/coredns/coredns ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}
# Without these /version is a word that kubectl and Helm refuse to compare.
kube_version_flags() {
  local v minor p=k8s.io/component-base/version
  v=$(go list -m -f '{{.Version}}' k8s.io/kubernetes); minor=${v#v1.}; minor=${minor%%.*}
  echo "-X $p.gitVersion=$v -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitCommit=gomod -X $p.gitTreeState=clean -X $p.buildDate=1970-01-01T00:00:00Z"
}
build() { # BINARY MODULE OUT
  [ -x "$3" ] && return
  local start=$SECONDS flags=(-trimpath) ld='-s -w'
  cd "$here/$2"
  if [ "$2" = kube ]; then ld="$ld $(kube_version_flags)"; flags+=(-tags grpcnotrace,notest); fi
  say "building $1 (once; the first one downloads its Go modules)"
  go build "${flags[@]}" -ldflags "$ld" -o "$3.new.$$" "$(package_of "$1")" || die "go build of $1 failed"
  mv "$3.new.$$" "$3"
  say "built $1 in $((SECONDS - start)) s"
}

mkdir -p "$AIDP_CACHE/bin"
files=()
for b in "$@"; do
  m=$(module_of "$b")
  out=$AIDP_CACHE/bin/$b-$(key "$here/$m/go.mod" "$here/$m/go.sum" "$here/build.sh" "$GO" "$b")
  [ -x "$out" ] || locked "$b" build "$b" "$m" "$out"
  files+=("$b" "$out")
done
assets=$AIDP_CACHE/assets/$(key "${files[*]}")
if [ ! -d "$assets" ]; then
  tmp=$(mktemp -d "$AIDP_CACHE/assets-XXXXXX")
  for ((i = 0; i < ${#files[@]}; i += 2)); do ln -s "${files[i + 1]}" "$tmp/${files[i]}"; done
  mkdir -p "$AIDP_CACHE/assets"; mv -T "$tmp" "$assets" 2>/dev/null || { [ -d "$assets" ] && rm -rf "$tmp" || mv "$tmp" "$assets"; }
fi
echo "$assets"
