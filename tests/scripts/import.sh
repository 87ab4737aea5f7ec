# Many calls from a file, and what became of each of them.
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

# Away with them again: what one batch answers, the next one asks.
field result < "$folder/answers" | sed 's/.*/["removeTask", "&"]/' | ddp batch --unordered > "$folder/removed"
same "removed" 200 "$(field result < "$folder/removed" | grep -c '^1$')"
same "tasks" 3 "$(ddp sub tasks --count)"

# One that is wrong does not matter to the others, and is told by its number.
code=0
printf '["upper", "a"]\nnonsense\n["upper", "b"]\n' | ddp batch > "$folder/mixed" 2>"$folder/err" || code=$?
same "the code" 1 "$code"
same "the results" $'A\nnull\nB' "$(field result < "$folder/mixed")"
same "the one" 2 "$(grep '"error"' "$folder/mixed" | field line)"
same "the sum" "ddp: note: 3 calls, 1 failed" "$(cat "$folder/err")"
