#!/bin/sh
# nats.sh VARIANT DIR PORT       VARIANT: core | js
# NATS_SERVER may name another binary.
set -eu
v=$1 dir=$2 port=$3
{
    echo "listen: 127.0.0.1:$port"
    echo "max_connections: 20000"
    echo "max_pending: 512MB"
    case $v in
        core) ;;
        js) echo "jetstream { store_dir: \"$dir/js\", max_mem: 8G, max_file: 20G }" ;;
        *) echo "nats.sh: no variant $v" >&2; exit 2 ;;
    esac
} >"$dir/nats.conf"
exec "${NATS_SERVER:-nats-server}" -c "$dir/nats.conf" -l "$dir/log"
