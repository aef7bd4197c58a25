# Shared by the scripts beside it: where things are kept, and how what is missing gets installed. Source it, don't run it.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ossai
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export RUST_BACKTRACE=0
mkdir -p "$CACHE"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need PROGRAM PACKAGE…: installs Debian packages unless the program is there.
need() {
  command -v "$1" >/dev/null 2>&1 && return
  shift
  local sudo=''
  [ "$(id -u)" = 0 ] || sudo=sudo
  command -v apt-get >/dev/null 2>&1 || die "install $* (names as in Debian)"
  say "installing $*"
  [ -n "${APT_UPDATED:-}" ] || $sudo apt-get update -qq
  APT_UPDATED=1
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need_rust() {
  command -v cargo >/dev/null 2>&1 || die "cargo is missing: install Rust 1.89 or newer"
  need cc gcc
}

# build ARGUMENT…: `cargo build` of a part of the workspace. `ci/test` has built the whole before and says so (OSSAI_BUILT): every
# selection of packages has features of its own, and would compile most of it once more.
build() {
  [ -n "${OSSAI_BUILT:-}" ] || (cd "$ROOT" && cargo build --quiet "$@")
}

# need_go: a Go of at least 1.24, the machine's own or one in the cache, by Go's own toolchain mechanism or Debian's package.
need_go() {
  local have
  export GOFLAGS=${GOFLAGS:-}
  if ! command -v go >/dev/null 2>&1; then
    [ -x /usr/local/go/bin/go ] && PATH=/usr/local/go/bin:$PATH || need go golang-go
  fi
  need cc gcc
  have=$(go env GOVERSION)
  if printf '%s\n' go1.24 "${have%% *}" | sort -V -C; then return; fi
  say "Go ${have} is too old: taking 1.26.8 as a toolchain module"
  printf '%s\n' go1.21 "${have%% *}" | sort -V -C || die "Go $have cannot fetch a newer one by itself: install Go 1.24 or newer"
  export GOTOOLCHAIN=go1.26.8
}

# go_tool NAME PACKAGE@VERSION: a program of the module proxy in the cache; prints its path.
go_tool() {
  local bin=$CACHE/go-tools/${2//[\/@]/_}
  [ -x "$bin/$1" ] || { say "building $2"; GOBIN=$bin GOFLAGS= go install "$2" >&2; }
  printf '%s\n' "$bin/$1"
}

# venv NAME PACKAGE…: a Python environment in the cache with exactly these packages; prints its python.
venv() {
  local name=$1 dir=$CACHE/venv-$1 want
  shift
  want=$(printf '%s\n' "$@" | sort)
  need python3 python3
  if [ "$(cat "$dir/.packages" 2>/dev/null)" != "$want" ]; then
    say "python packages for $name: $*"
    rm -rf "$dir"
    python3 -m venv "$dir" 2>/dev/null || { need_venv; python3 -m venv "$dir"; }
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
    printf '%s\n' "$want" >"$dir/.packages"
  fi
  printf '%s\n' "$dir/bin/python"
}

need_venv() {
  local sudo=''
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq python3-venv >/dev/null
}

# jar GROUP:ARTIFACT:VERSION SHA256: a Maven package's jar, in the cache, if its digest is that one; prints its path.
jar() {
  local file=${1#*:} partial=$CACHE/jars/partial-$$
  file=${file/:/-}.jar
  if [ ! -f "$CACHE/jars/$file" ]; then
    need mvn maven
    say "taking $1"
    mvn --quiet --batch-mode -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      -Dartifact="$1" -DoutputDirectory="$partial" >&2
    [ "$(sha256sum <"$partial/$file" | cut -d ' ' -f 1)" = "$2" ] || die "$1 is not the package it was: expected SHA-256 $2"
    mv "$partial/$file" "$CACHE/jars/$file"
    rm -rf "$partial"
  fi
  # Again at every use: the cache is a folder anything may write to.
  [ "$(sha256sum <"$CACHE/jars/$file" | cut -d ' ' -f 1)" = "$2" ] || die "$CACHE/jars/$file: expected SHA-256 $2"
  printf '%s\n' "$CACHE/jars/$file"
}

# node_modules NAME PACKAGE…: a folder in the cache with exactly these npm packages; prints the folder.
node_modules() {
  local name=$1 dir=$CACHE/node-$1 want
  shift
  want=$(printf '%s\n' "$@" | sort)
  need node nodejs
  need npm npm
  if [ "$(cat "$dir/.packages" 2>/dev/null)" != "$want" ]; then
    say "npm packages for $name: $*"
    rm -rf "$dir"
    mkdir -p "$dir"
    (cd "$dir" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts "$@" >&2)
    printf '%s\n' "$want" >"$dir/.packages"
  fi
  printf '%s\n' "$dir"
}

# wait_for URL: until it answers, at most 30 s.
wait_for() {
  local i
  for i in $(seq 300); do
    python3 - "$1" <<'PY' 2>/dev/null && return
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=1)
PY
    sleep 0.1
  done
  die "$1 did not answer within 30 s"
}
