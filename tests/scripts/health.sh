#!/usr/bin/env bash
# Check the server's health for a monitor such as Nagios. Exit codes: 0 OK, 1 warning, 2 critical, 3 unknown.
set -euo pipefail

finish() {
    echo "$2"
    exit "$1"
}

code=0
output=$(ddp call -q --timeout 5 upper hello 2>&1) || code=$?
case $code in
    0) ;;
    1) finish 1 "WARNING - $output" ;;
    3 | 5 | 6) finish 2 "CRITICAL - $output" ;;
    *) finish 3 "UNKNOWN - $output" ;;
esac
milliseconds=$(ddp ping -c 5 -i 0 --timeout 5 | tail -n 1 | jq .avg)
finish 0 "OK - round trip $milliseconds ms"
