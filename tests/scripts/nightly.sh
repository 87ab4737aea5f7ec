#!/usr/bin/env bash
# Keep the documents of a publication, a line each, and show what is new, gone or changed since the last time.
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
