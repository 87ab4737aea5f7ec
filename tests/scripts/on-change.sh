#!/usr/bin/env bash
# Say so whenever a task is done, until Ctrl-C; a lost connection is made again. Options are for `ddp sub`.
set -euo pipefail

ddp sub tasks '{done: true}' --follow --docs --reconnect -q "$@" | while IFS= read -r task; do
    title=$(jq -r .title <<< "$task")
    echo "done: $title"  # or: mail -s "$title is done" ann@example.com
done
