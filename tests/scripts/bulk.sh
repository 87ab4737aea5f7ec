#!/usr/bin/env bash
# Insert the documents of a file, one a line. Lines that fail are tried twice more; what remains goes to FILE.failed.
# Each document has its _id, so it cannot be inserted twice, even after a lost connection: the server answers with 409.
set -euo pipefail
file=$1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$file" "$folder/todo"
for _ in 1 2 3; do
    code=0
    jq -c '["/tasks/insert", .]' "$folder/todo" | ddp batch -q -j 50 > "$folder/answers" || code=$?
    # Lines with another error, and lines without an answer, are still to be done.
    jq 'select(.error == null or .error.error == 409).line' "$folder/answers" > "$folder/done"
    awk 'FILENAME ~ /done$/ { done[$1]; next } !(FNR in done)' "$folder/done" "$folder/todo" > "$folder/left"
    mv "$folder/left" "$folder/todo"
    [ -s "$folder/todo" ] || exit 0
done
mv "$folder/todo" "$file.failed"
jq -r 'select(.error).error | "\(.reason) [\(.error)]"' "$folder/answers" | sort | uniq -c >&2
exit "$code"
