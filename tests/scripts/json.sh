# Functions for the other scripts. `field NAME` prints a field of each line of JSON, with jq or without it.
# `same WHAT EXPECTED ACTUAL` ends the script if two texts differ.

field() {
    if command -v jq >/dev/null; then
        jq -r ".$1"
    else
        python3 -c '
import json, sys
for line in sys.stdin:
    value = json.loads(line)
    for name in sys.argv[1].split("."):
        value = value.get(name) if value is not None else None
    print(value if isinstance(value, str) else json.dumps(value))
' "$1"
    fi
}

same() {
    if [ "$2" != "$3" ]; then
        printf '%s: expected\n%s\nbut it is\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
}
