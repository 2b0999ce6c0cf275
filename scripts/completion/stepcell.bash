# shellcheck shell=bash
# Completion for stepcell in bash, and in zsh through bashcompinit. What there is to complete is asked of the
# programs themselves: `stepcell COMMAND --help` is printed from the tables that parse the options.

__stepcell_help() { "${COMP_WORDS[0]}" "$@" --help 2>/dev/null; }

# __stepcell_commands HELP: the names of the commands that a help text lists
__stepcell_commands() { sed -nE 's/^  ([a-z][a-z-]*) .*/\1/p' <<<"$1"; }

# __stepcell_options HELP: all options of a help text, short and long
__stepcell_options() { sed -nE 's/^  (-[a-z]+), (--?[a-z0-9-]+).*/\1\n\2/p; s/^      (--?[a-z0-9-]+).*/\1/p' <<<"$1"; }

# __stepcell_argument HELP OPTION: the name of the option's value, or nothing for a flag
__stepcell_argument() {
    sed -nE -e "s/^  (-., |    )$2 ([^ ]+) .*/\\2/p" -e "s/^  $2, --[a-z0-9-]+ ([^ ]+) .*/\\1/p" <<<"$1"
}

# __stepcell_values ARGUMENT WORD: what can stand for it
__stepcell_values() {
    case $1 in
    *DIR*) compgen -d -- "$2" ;;
    *FILE*) compgen -f -- "$2" ;;
    *[A-Z]*) ;;
    *'|'*) compgen -W "${1//|/ }" -- "$2" ;;
    esac
}

__stepcell_images() { "${COMP_WORDS[0]}" image list 2>/dev/null | sed -E "s/[[:space:]].*//"; }

# __stepcell_replies: what can stand for the last word, one on each line
__stepcell_replies() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help argument='' usage i
    local -a command=()
    help=$(__stepcell_help)
    # The command: as many words as lead to a help text that lists no further ones.
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} != -* && -n $(__stepcell_commands "$help") ]] || break
        command+=("${COMP_WORDS[i]}")
        help=$(__stepcell_help "${command[@]}")
    done
    usage=${help%%$'\n\n'*}
    [[ $prev != -* ]] || argument=$(__stepcell_argument "$help" "$prev")
    if [ -n "$argument" ]; then
        __stepcell_values "$argument" "$cur"
    elif [[ $cur == -* ]]; then
        compgen -W "$(__stepcell_options "$help")" -- "$cur"
    elif [ -n "$(__stepcell_commands "$help")" ]; then
        compgen -W "$(__stepcell_commands "$help")" -- "$cur"
    elif [[ $usage == *IMAGE* || $usage == *REFERENCE* ]]; then
        compgen -W "$(__stepcell_images)" -- "$cur" || compgen -f -- "$cur"
    fi
}

_stepcell() {
    local reply
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("$reply")
    done < <(__stepcell_replies)
}

complete -F _stepcell stepcell
