# Shared by the scripts that run a PostgreSQL of their own: on a free port of this machine, in a folder of its own, ending with the script.
# Source it after lib.sh, say where its programs are (BIN), call `postgres_place`, then `postgres_start`.
#
# Root is refused by it, so as root it runs as the user POSTGRES_USER. The folder is in memory where there is room.
POSTGRES_USER=${POSTGRES_USER:-postgres}

as() { "$@"; }

# postgres_place: makes the folder DATA, which goes with the script.
postgres_place() {
  local place=${TMPDIR:-/tmp}
  if [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -gt 2000000 ] 2>/dev/null; then place=/dev/shm; fi
  DATA=$(mktemp -d -p "$place")
  if [ "$(id -u)" = 0 ]; then
    chown "$POSTGRES_USER" "$DATA"
    as() { (cd "$DATA" && setpriv --reuid "$POSTGRES_USER" --regid "$(id -g "$POSTGRES_USER")" --clear-groups "$@"); }
  fi
  trap postgres_cleanup EXIT
}

control() {
  local server
  case $1 in
    start) as "$BIN/pg_ctl" -D "$DATA/db" -w -l "$DATA/log" -o "$OPTIONS" start >/dev/null ;;
    stop) as "$BIN/pg_ctl" -D "$DATA/db" -m immediate stop >/dev/null ;;
    hang | resume)
      # The server and its children, of this folder and no other.
      server=$(head -n 1 "$DATA/db/postmaster.pid")
      [ "$1" = hang ] && set -- STOP || set -- CONT
      kill "-$1" "$server" $(ps -o pid= --ppid "$server")
      ;;
  esac
}

postgres_cleanup() {
  [ ! -e "$DATA/db/postmaster.pid" ] || control resume 2>/dev/null || true
  control stop >/dev/null 2>&1 || true
  rm -rf "$DATA"
}

free_port() {
  for port in $(shuf -i 20000-60000 -n 50); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
  done
  die 'no port is free'
}

# postgres_start: makes a cluster and starts it; URL leads to it.
postgres_start() {
  PORT=$(free_port)
  OPTIONS="-p $PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=$DATA -c max_connections=200"
  as "$BIN/initdb" -D "$DATA/db" -U ossai -A trust >/dev/null
  control start
  URL=postgres://ossai@127.0.0.1:$PORT/postgres
}

# postgres_control: a program CONTROL that starts, stops and hangs the server.
postgres_control() {
  CONTROL=$DATA/control
  {
    echo '#!/usr/bin/env bash'
    echo 'set -euo pipefail'
    declare -p BIN DATA OPTIONS POSTGRES_USER
    declare -f as control
    echo 'control "$1"'
  } >"$CONTROL"
  chmod 755 "$DATA" "$CONTROL"
}
