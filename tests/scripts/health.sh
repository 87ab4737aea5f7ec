#!/usr/bin/env bash
# Is the server well? For a monitor, in the words and codes of its plugins: 0 well, 1 ill, 2 dead, 3 nobody knows.
set -euo pipefail

tell() {
    echo "$2"
    exit "$1"
}

code=0
said=$(ddp call -q --timeout 5 upper well 2>&1) || code=$?
case $code in
    0) ;;
    1) tell 1 "WARNING - $said" ;;
    3 | 5 | 6) tell 2 "CRITICAL - $said" ;;
    *) tell 3 "UNKNOWN - $said" ;;
esac
milliseconds=$(ddp ping -c 5 -i 0 --timeout 5 | tail -n 1 | jq .avg)
tell 0 "OK - round trip $milliseconds ms"
