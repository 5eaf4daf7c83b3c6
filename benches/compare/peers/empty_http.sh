#!/bin/sh
# empty_http.sh VARIANT DIR PORT     a server of actix-web that does nothing; VARIANT: its threads
set -eu
exec "${EMPTY_HTTP:?names the program empty_http}" "127.0.0.1:$3" "$1"
