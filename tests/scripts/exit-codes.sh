# Each kind of end has its exit code.
set -uo pipefail
. "$(dirname "$0")/json.sh"

code_of() {
    "$@" >/dev/null 2>&1 </dev/null
    echo $?
}

same "success" 0 "$(code_of ddp sub tasks)"
same "an error of the server" 1 "$(code_of ddp sub nope)"
same "no answer" 1 "$(printf '["nope"]\n' | ddp batch >/dev/null 2>&1; echo $?)"
same "usage" 2 "$(code_of ddp sub)"
same "an invalid selector" 2 "$(code_of ddp sub tasks --until '{a: ')"
same "no such file" 2 "$(code_of ddp batch /nowhere/calls.ndjson)"
same "no server" 3 "$(code_of ddp ping -u localhost:1)"
same "not logged in" 4 "$(code_of ddp whoami)"
same "a wrong password" 4 "$(echo wrong | ddp login alice --password-file - >/dev/null 2>&1; echo $?)"
same "a timeout" 5 "$(code_of ddp sub neverReady --timeout 0.2)"
same "a lost connection" 6 "$(printf '["kick"]\n' | ddp batch >/dev/null 2>&1; echo $?)"

# Send SIGTERM after the first line, because then the command is running.
exec 3< <(ddp sub tasks --follow)
following=$!
read -r _ <&3
kill "$following"
wait "$following"
same "SIGTERM" 143 $?
