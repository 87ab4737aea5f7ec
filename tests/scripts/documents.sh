# Count and list the documents of a publication, and put them into shell variables.
set -euo pipefail
. "$(dirname "$0")/json.sh"

same "the number" 3 "$(ddp sub tasks --count)"
same "with a condition" 2 "$(ddp sub tasks '{done: false}' --count)"

titles=$(ddp sub tasks --docs | field title)
same "the titles" $'write a client\nwrite a server\nwrite the tests' "$titles"

# Loop over documents, with a call for each of them.
ddp sub tasks '{done: false}' --docs | field _id | while read -r id; do
    ddp call setTask "$id" '{done: true}' >/dev/null
done
same "the open tasks" 0 "$(ddp sub tasks '{done: false}' --count)"
ddp call resetTasks >/dev/null

# Use the result of a call as an argument of the next call.
id=$(ddp call -o raw addTask "from a script")
same "the new task" "from a script" "$(ddp sub tasks "{_id: \"$id\"}" --docs | field title)"
same "the number of removed tasks" 1 "$(ddp call removeTask "$id")"
