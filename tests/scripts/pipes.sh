# Standard streams that end early, are closed or are full. The end of a pipe causes no error message, the others do.
set -uo pipefail
. "$(dirname "$0")/json.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# No document changes after the third line, and the reader stops after the first line.
same "the first line" added "$(ddp sub tasks --follow 2>>"$folder/err" | head -n 1 | field msg)"
same "the first ping" 1 "$(ddp ping -i 60 2>>"$folder/err" | head -n 1 | field seq)"
same "the first answer" A "$(while echo '["upper", "a"]'; do :; done 2>/dev/null | ddp batch 2>>"$folder/err" | head -n 1 | field result)"
same "the errors" "" "$(cat "$folder/err")"

echo '["upper", "a"]' > "$folder/calls"
echo 'call upper a' > "$folder/script"
for command in "call upper x" "sub tasks" "sub tasks --follow" "sub tasks --count" "ping -c 1" "batch $folder/calls" \
    "run $folder/script" "demo call upper x" "config" "completion bash" "--help" "call -h" "--version"; do
    read -ra words <<<"$command"
    error=$(ddp "${words[@]}" 2>&1 >/dev/full)
    same "the code of $command on a full disk" 7 $?
    same "the error" "ddp: error: cannot write to standard output: No space left on device" "${error%%;*}"
    case $command in *"call upper x") same "the note about the call" " the server has run 'upper'" "${error#*;}" ;; esac
    error=$(ddp "${words[@]}" 2>&1 >&-)
    same "the code of $command without output" 7 $?
    same "the error" "ddp: error: cannot write to standard output: Bad file descriptor" "${error%%;*}"
    ddp "${words[@]}" >&- 2>&- <&-
    same "the code of $command without any stream" 7 $?
    same "$command without the other two streams, to a reader of one line" 1 \
        "$({ ddp "${words[@]}" 2>&- <&- || echo "ended with $?" >>"$folder/err"; } | head -n 1 | wc -l)"
done
same "the errors" "" "$(cat "$folder/err")"

error=$(ddp batch 2>&1 <&-)
same "the code without input" 2 $?
same "the error" "ddp: error: standard input is closed" "$error"
same "a command that does not read input" 3 "$(ddp sub tasks --count <&-)"
