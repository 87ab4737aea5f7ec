#!/usr/bin/env bash
# Print a line whenever a task is done, until Ctrl-C. Reconnects by itself. Options are passed to `ddp sub`.
set -euo pipefail

ddp sub tasks '{done: true}' --follow --docs --reconnect -q "$@" | while IFS= read -r task; do
    title=$(jq -r .title <<< "$task")
    echo "done: $title"  # or: mail -s "$title is done" ann@example.com
done
