# shellcheck shell=bash
# Service messages, as a script prints them.

# message NAME [KEY VALUE]...: one line
message() {
    local name=$1
    shift
    printf '##octopus[%s' "$name"
    while [ $# -gt 0 ]; do
        printf " %s='%s'" "$1" "$(printf %s "$2" | base64 -w0)"
        shift 2
    done
    echo ']'
}
