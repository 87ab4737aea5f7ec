# What a publication holds: counted, listed, put into shell variables.
set -euo pipefail
. "$(dirname "$0")/json.sh"

same "the number" 3 "$(ddp sub tasks --count)"
same "with a condition" 2 "$(ddp sub tasks '{done: false}' --count)"

titles=$(ddp sub tasks --docs | field title)
same "the titles" $'write a client\nwrite a server\nwrite the tests' "$titles"

# A loop over documents, with a call for each.
ddp sub tasks '{done: false}' --docs | field _id | while read -r id; do
    ddp call setTask "$id" '{done: true}' >/dev/null
done
same "what is left to do" 0 "$(ddp sub tasks '{done: false}' --count)"
ddp call resetTasks >/dev/null

# What a call returns, as an argument of the next one.
id=$(ddp call -o raw addTask "from a script")
same "the new one" "from a script" "$(ddp sub tasks "{_id: \"$id\"}" --docs | field title)"
same "what removing says" 1 "$(ddp call removeTask "$id")"
