# Waiting for something to happen, and for nothing that does not.
set -euo pipefail
. "$(dirname "$0")/json.sh"

# In the background, until a task is done.
exec 3< <(ddp sub tasks --until '{_id: "b", done: true}' --timeout 20)
waiting=$!
for id in a b c; do
    read -r line <&3
    same "what is there first" "added $id" "$(field msg <<<"$line") $(field id <<<"$line")"
done
ddp call setTask b '{done: true}' >/dev/null
read -r line <&3
same "what it waited for" "changed b true" "$(field msg <<<"$line") $(field id <<<"$line") $(field fields.done <<<"$line")"
wait "$waiting"

# What is so already need not be waited for.
ddp sub tasks --until '{_id: "b", done: true}' >/dev/null

# What never comes is given up.
code=0
error=$(ddp sub tasks --until '{_id: "b", done: "maybe"}' --timeout 0.3 2>&1 >/dev/null) || code=$?
same "the code" 5 "$code"
same "the error" "ddp: error: no document matched within 0.3 s" "$(head -n 1 <<<"$error")"
ddp call resetTasks >/dev/null
