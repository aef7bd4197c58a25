# Shared by the packaging scripts: the platforms packages are built for, and how a library for one of them is built on this machine.
# Source it after lib.sh, don't run it.

# By npm's names; the other registries' follow from them.
PLATFORMS='linux-x64-gnu linux-arm64-gnu linux-x64-musl linux-arm64-musl'

triple() { # PLATFORM: Rust's name
  case $1 in
    linux-x64-*) printf 'x86_64-unknown-linux-%s\n' "${1##*-}" ;;
    linux-arm64-*) printf 'aarch64-unknown-linux-%s\n' "${1##*-}" ;;
    *) die "no platform $1: expected one of $PLATFORMS" ;;
  esac
}

machine() { # PLATFORM: the kernel's name of it
  local triple
  triple=$(triple "$1")
  printf '%s\n' "${triple%%-*}"
}

wheel_tag() { # PLATFORM: PEP 600's name, or PEP 656's
  local machine
  machine=$(machine "$1")
  case $1 in
    *-gnu) printf 'manylinux2014_%s.manylinux_2_17_%s\n' "$machine" "$machine" ;;
    *-musl) printf 'musllinux_1_2_%s\n' "$machine" ;;
  esac
}

# debian SUITE ARCH FOLDER PACKAGE[=VERSION]…: unpacks Debian packages into FOLDER, from the mirror this machine takes its own from,
# signed by the distribution, without installing them.
debian() {
  local suite=$1 arch=$2 folder=$3 at=$CACHE/debian/$1-$2 mirror
  shift 3
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 2>/dev/null | awk '$2 == "main" && $1 ~ /debian\/$/ {print $1; exit}')
  [ -n "$mirror" ] || die "no Debian mirror is configured here: Debian packages for $arch come from one"
  mkdir -p "$at/state/lists/partial" "$at/cache/archives/partial" "$at/parts" "$folder"
  printf 'deb [arch=%s signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$arch" "$mirror" "$suite" >"$at/sources.list"
  printf '%s\n' "APT::Architecture \"$arch\";" "APT::Architectures { \"$arch\"; };" "Dir::State \"$at/state\";" "Dir::State::status \"$at/status\";" \
    "Dir::Cache \"$at/cache\";" "Dir::Etc::sourcelist \"$at/sources.list\";" "Dir::Etc::sourceparts \"$at/parts\";" 'APT::Sandbox::User "root";' >"$at/apt.conf"
  : >"$at/status"
  (
    export APT_CONFIG=$at/apt.conf
    cd "$at/cache"
    apt-get update -qq
    rm -f ./*.deb
    apt-get download -qq "$@" >&2
    for deb in ./*.deb; do dpkg-deb -x "$deb" "$folder"; done
    rm -f ./*.deb
  )
}

# std_for TRIPLE: makes `cargo` one that can build for it, and sets BUILD_STD to what it has to be told.
#   A toolchain with the target's own standard library is taken as it is: what a release is built with. Without one the standard
#   library is built from its sources, those of exactly this compiler, by Debian.
std_for() {
  local version sysroot copy sources
  BUILD_STD=()
  [ ! -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] || return 0
  BUILD_STD=(-Zbuild-std=std,panic_abort)
  export RUSTC_BOOTSTRAP=1
  version=$(rustc --version | awk '{print $2}')
  sysroot=$(rustc --print sysroot)
  copy=$CACHE/rust-$version-with-sources
  if [ ! -d "$copy" ]; then
    say "sources of Rust $version's standard library"
    sources=$CACHE/rust-src-$version
    rm -rf "$sources" "$copy.new"
    debian trixie-backports amd64 "$sources" "rust-src=$version+*" || die "no sources of Rust $version's standard library: add the target by rustup target add $1"
    cp -al "$sysroot" "$copy.new" 2>/dev/null || { rm -rf "$copy.new" && cp -a "$sysroot" "$copy.new"; }
    mkdir -p "$copy.new/lib/rustlib/src/rust"
    cp -rL "$sources"/usr/lib/rustlib/src/rust/library "$copy.new/lib/rustlib/src/rust/library" 2>/dev/null ||
      cp -rL "$sources/usr/src/rustc-$version/library" "$copy.new/lib/rustlib/src/rust/library"
    rm -rf "$sources"
    mv "$copy.new" "$copy"
  fi
  PATH=$copy/bin:$PATH
  export RUSTC=$copy/bin/rustc
}

# libraries PLATFORM: builds what is inside every package for it — the C library, Node's addon, Python's module — as they ship, in one
# go, since they share all but themselves; sets LIBRARIES to where they are.
libraries() {
  local target glibc='' zig
  if [ -n "$QUICK" ]; then
    build -p ossai-c -p ossai-node -p ossai-python
    LIBRARIES=$CARGO_TARGET_DIR/debug
    return
  fi
  target=$(triple "$1")
  zig=$(venv cross cargo-zigbuild==0.24.0 ziglang==0.17.0)
  # The glibc that manylinux2014 promises; Node 20's own builds ask for a newer one.
  [[ $1 != *-gnu ]] || glibc=.2.17
  LIBRARIES=$CARGO_TARGET_DIR/$target/dist
  (
    cd "$ROOT"
    PATH=$(dirname "$zig"):$PATH
    std_for "$target"
    # A library that others load cannot bring a C library of its own.
    [[ $1 != *-musl ]] || export RUSTFLAGS=-Ctarget-feature=-crt-static
    # Python's stable interface needs no interpreter to build against.
    PYO3_NO_PYTHON=1 cargo zigbuild --quiet --profile dist --target "$target$glibc" "${BUILD_STD[@]}" -p ossai-c -p ossai-node -p ossai-python
  ) || die "the libraries for $1 do not build"
}

# This machine's own; packages for it run here as they are.
HOST=linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')-gnu

# options ARGUMENT…: `--target PLATFORM` (more than once; all of them unless said), `--out FOLDER`, and `--quick`, which packs and tries
# this machine's debug libraries: nothing to ship, but all that can go wrong around them. Sets TARGETS, OUT and QUICK.
options() {
  TARGETS='' QUICK=''
  while [ $# -gt 0 ]; do
    case $1 in
      --quick) QUICK=--quick TARGETS=$HOST && shift && continue ;;
      --target) triple "${2:?--target wants a platform}" >/dev/null && TARGETS="$TARGETS $2" ;;
      --out) OUT=${2:?--out wants a folder} ;;
      *) die "unknown option $1: expected --target PLATFORM, --out FOLDER or --quick" ;;
    esac
    shift 2
  done
  TARGETS=${TARGETS:-$PLATFORMS}
}

# fresh FOLDER: empty, and sets OUT to its whole path.
fresh() {
  rm -rf "$1"
  mkdir -p "$1"
  OUT=$(cd "$1" && pwd)
}

# needs_glibc LIBRARY: fails unless the glibc of 2.17 is enough for it; says which it needs, or that it needs none.
needs_glibc() {
  local newest
  newest=$(readelf --version-info --wide "$1" | grep -o 'GLIBC_2\.[0-9]*' | sort -u -t. -k2 -n | tail -n 1)
  printf '%s' "${newest:-no glibc}"
  [ -z "$newest" ] || [ "${newest#GLIBC_2.}" -le 17 ]
}

# checked LIBRARY PLATFORM: a line on what the library needs of the system.
checked() {
  local said ok=0 needed
  [ -z "$QUICK" ] || return 0
  needed=$(readelf --dynamic --wide "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | tr '\n' ' ')
  said=$(needs_glibc "$1") || ok=1
  case $2 in
    *-musl) [ "$needed" = 'libc.so ' ] || ok=1 ;;
  esac
  if [ $ok = 0 ]; then echo "ok $(basename "$1") for $2 needs $said; $needed"; else echo "FAIL $(basename "$1") for $2 needs $said; $needed"; fi
}

# upstream: the program that answers in `ci/with-upstream`.
upstream() {
  build -p ossai-conformance --bin scripted-upstream
  export OSSAI_SCRIPTED_UPSTREAM=$CARGO_TARGET_DIR/debug/scripted-upstream
}

# sbom KIND PLATFORM PACKAGE: what is inside the package, in a file beside it; a line on whether it is whole.
sbom() {
  "$ROOT/ci/sbom" "$1" "$2" >"$3.cdx.json" && "$ROOT/ci/sbom" --check "$3.cdx.json" || echo "FAIL sbom of $(basename "$3")"
}
