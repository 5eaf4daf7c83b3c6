#!/bin/sh
# octoq.sh VARIANT DIR PORT      VARIANT: memory | async | sync, the level of all topics
# otq is at PORT, okq at PORT+1, HTTP (with fastqueue and blockqueue below it) at PORT+2, dsmq at PORT+3.
set -eu
v=$1 dir=$2 port=$3
case $v in
    memory | async | sync) ;;
    *) echo "octoq.sh: no variant $v" >&2; exit 2 ;;
esac
exec "${OCTOQ_SERVER:?names the program octoq}" serve \
    --set "store.path=$dir/store" --set "store.durability=$v" --set "store.pubsub_durability=$v" \
    --set "dsmq.durability=$v" \
    --set "otq.listen=127.0.0.1:$port" --set "okq.listen=127.0.0.1:$((port + 1))" \
    --set "http.listen=127.0.0.1:$((port + 2))" --set "dsmq.listen=127.0.0.1:$((port + 3))" \
    --set "fastqueue.listen=" --set "fastqueue.mount=/fastqueue" \
    --set "blockqueue.listen=" --set "blockqueue.mount=/blockqueue" \
    >"$dir/log" 2>&1
