#!/usr/bin/env bash
# Save the documents of a publication, one a line, and show what has changed since the last time.
# nightly.sh FILE PUBLICATION [ARG]...
set -euo pipefail
file=$1
shift

new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
ddp sub --docs --timeout 300 "$@" | sort > "$new"
touch "$file"
diff "$file" "$new" || [ $? = 1 ]
mv "$new" "$file"
