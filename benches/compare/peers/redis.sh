#!/bin/sh
# redis.sh VARIANT DIR PORT      VARIANT: mem | everysec | always, or mem-io2: mem with 2 I/O threads
# REDIS_SERVER may name another binary of the same family.
set -eu
v=$1 dir=$2 port=$3
set -- "${REDIS_SERVER:-redis-server}" --bind 127.0.0.1 --port "$port" --dir "$dir" --save "" --daemonize no \
    --maxclients 15000 --client-output-buffer-limit pubsub 0 0 0 --loglevel warning --logfile "$dir/log"
case $v in
    mem) set -- "$@" --appendonly no ;;
    mem-io2) set -- "$@" --appendonly no --io-threads 2 --io-threads-do-reads yes ;;
    everysec | always) set -- "$@" --appendonly yes --appendfsync "$v" ;;
    *) echo "redis.sh: no variant $v" >&2; exit 2 ;;
esac
exec "$@"
