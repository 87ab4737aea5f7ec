# Wait until a document matches, or until a timeout.
set -euo pipefail
. "$(dirname "$0")/json.sh"

# Wait in the background until a task is done.
exec 3< <(ddp sub tasks --until '{_id: "b", done: true}' --timeout 20)
waiting=$!
for id in a b c; do
    read -r line <&3
    same "the first documents" "added $id" "$(field msg <<<"$line") $(field id <<<"$line")"
done
ddp call setTask b '{done: true}' >/dev/null
read -r line <&3
same "the awaited change" "changed b true" "$(field msg <<<"$line") $(field id <<<"$line") $(field fields.done <<<"$line")"
wait "$waiting"

# A document that matches already ends the command at once.
ddp sub tasks --until '{_id: "b", done: true}' >/dev/null

# Without a match, the command ends at the timeout.
code=0
error=$(ddp sub tasks --until '{_id: "b", done: "maybe"}' --timeout 0.3 2>&1 >/dev/null) || code=$?
same "the exit code" 5 "$code"
same "the error" "ddp: error: no document matched within 0.3 s" "$(head -n 1 <<<"$error")"
ddp call resetTasks >/dev/null
