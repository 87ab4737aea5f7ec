#!/usr/bin/env bash
# Insert the documents of a file, a line each. What fails is tried again, twice, and at last left in FILE.failed.
# Each has its _id, so that none is inserted twice, whatever becomes of the connection: the second time is error 409.
set -euo pipefail
file=$1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$file" "$folder/todo"
for _ in 1 2 3; do
    code=0
    jq -c '["/tasks/insert", .]' "$folder/todo" | ddp batch -q -j 50 > "$folder/answers" || code=$?
    # Neither done are lines with another error, nor those without an answer, which were not sent.
    jq 'select(.error == null or .error.error == 409).line' "$folder/answers" > "$folder/done"
    awk 'FILENAME ~ /done$/ { done[$1]; next } !(FNR in done)' "$folder/done" "$folder/todo" > "$folder/left"
    mv "$folder/left" "$folder/todo"
    [ -s "$folder/todo" ] || exit 0
done
mv "$folder/todo" "$file.failed"
jq -r 'select(.error).error | "\(.reason) [\(.error)]"' "$folder/answers" | sort | uniq -c >&2
exit "$code"
