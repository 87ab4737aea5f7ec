#!/usr/bin/env bash
# Wait until a task is done: until-done.sh ID [SECONDS]. Exits with 5 if the time runs out.
set -euo pipefail
id=$1 seconds=${2:-60}

code=0
selector=$(jq -cn --arg id "$id" '{_id: $id}')
ddp sub -q tasks "$selector" --until '{done: true}' --timeout "$seconds" > /dev/null || code=$?
case $code in
    0) echo "$id is done" ;;
    5) echo "$id is not done after $seconds s" ;;
esac
exit "$code"
