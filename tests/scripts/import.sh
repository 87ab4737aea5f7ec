# Make many calls from a file, and check the answer to each of them.
set -euo pipefail
. "$(dirname "$0")/json.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for number in $(seq 200); do
    echo "[\"addTask\", \"task $number\"]"
done > "$folder/calls"
ddp batch -j 20 "$folder/calls" > "$folder/answers"
same "answers" 200 "$(wc -l < "$folder/answers")"
same "in order" "$(seq 200)" "$(field line < "$folder/answers")"
same "tasks" 203 "$(ddp sub tasks --count)"

# Remove the tasks again: the answers of one batch become the calls of the next batch.
field result < "$folder/answers" | sed 's/.*/["removeTask", "&"]/' | ddp batch --unordered > "$folder/removed"
same "removed" 200 "$(field result < "$folder/removed" | grep -c '^1$')"
same "tasks" 3 "$(ddp sub tasks --count)"

# An invalid line does not affect the others, and its answer has its number.
code=0
printf '["upper", "a"]\nnonsense\n["upper", "b"]\n' | ddp batch > "$folder/mixed" 2>"$folder/err" || code=$?
same "the exit code" 1 "$code"
same "the results" $'A\nnull\nB' "$(field result < "$folder/mixed")"
same "the invalid line" 2 "$(grep '"error"' "$folder/mixed" | field line)"
same "the summary" "ddp: note: 3 calls, 1 failed" "$(cat "$folder/err")"
