# Help, manual pages and the completion of shells: all of the same tables, so all with the same options.

load ../lib/common

setup_file() {
    export MAN=$TEST_DIR/man PATH=${STEPCELL_RELEASE%/*}:$PATH
    "$TESTS/../scripts/manpages" "$STEPCELL_RELEASE" "$MAN"
}

# commands [WORD...]: the words of each command that is no list of others
commands() {
    local name
    local -a below
    mapfile -t below < <(stepcell_help "$@" | sed -nE '/^  help /d; s/^  ([a-z][a-z-]*) .*/\1/p')
    [ ${#below[@]} -gt 0 ] || echo "$*"
    for name in "${below[@]}"; do commands "$@" "$name"; done
}
stepcell_help() { "$STEPCELL_RELEASE" "$@" --help; }

# options TEXT: the options that the lines of a help text begin with, the long name of each that has one
options() { sed -nE 's/^  (-[a-z]+, |    )(--?[a-z0-9-]+).*/\2/p' <<<"$1" | sort; }

# page_options FILE: those of the section of a manual page
page_options() {
    sed -n '/^\.SH OPTIONS/,/^\.SH [^O]/p' "$1" | sed -nE 's/^\.B (\\-[a-z]+, )?(\\-[a-z0-9\\-]+).*/\2/p' | tr -d '\\' | sort
}

@test "every command has a help text with options, and a manual page with the same ones" {
    local words help page count=0
    while read -r words; do
        # shellcheck disable=SC2086 # several words
        help=$(stepcell_help $words)
        page=$MAN/man1/stepcell-${words// /-}.1
        assert_match "$help" "Usage: stepcell ${words%% *}*"
        assert_match "$(options "$help")" "*--help*"
        assert_equal "options of $words" \
            "$(page_options "$page")" "$(options "$help")"
        grep -q '^\.SH DESCRIPTION' "$page"
        count=$((count + 1))
    done < <(commands)
    echo "$count commands"
    [ "$count" -ge 17 ]
    assert_equal pages "$(find "$MAN/man1" -type f | wc -l)" \
        $((count + $(commands | awk 'NF > 1 { print $1 }' | sort -u | wc -l)))
}

@test "the manual pages are good roff, and name no page that is not there" {
    local page said name
    for page in "$MAN"/man[157]/*; do
        said=$(groff -man -ww -Tutf8 "$page" 2>&1 >/dev/null)
        assert_equal "${page##*/}" "$said" ""
        ! grep -n '@[A-Z]*@' "$page"
        while IFS=' ' read -r name; do
            ls "$MAN"/man?/"$name" >/dev/null
        done < <(sed -nE 's/^\.BR ([a-z.\\-]+) \(([157])\),?$/\1.\2/p' "$page" | tr -d '\\')
    done
}

@test "each kind of file has a page, which the pages of the commands that take it name" {
    local page command
    for page in stepcell-step stepcell.lock stepcell-policy; do
        for command in man7/stepcell.7 man1/stepcell-run.1; do
            grep -qxE "\.BR ${page/-/\\\\-} \(5\),?" "$MAN/$command"
        done
        grep -q '^\.SH KEYS' "$MAN/man5/$page.5"
    done
    grep -qx '\.BR stepcell.lock (5)' "$MAN/man1/stepcell-lock-add.1"
}

@test "the page of the step file has every key that a step can have" {
    local key
    for key in $(options "$(stepcell_help run)" | grep -vE '^--(help|step)$' | sed 's/^--//; s/-/_/g') image command args; do
        grep -qxF ".B $key" "$MAN/man5/stepcell-step.5"
    done
}

# complete SHELL WORD...: what the shell offers for the last word
complete_in() {
    local shell=$1
    shift
    case $shell in
    bash) bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stepcell; printf "%s\n" "${COMPREPLY[@]}"' \
        "$TESTS/../scripts/completion/stepcell.bash" "$@" ;;
    fish) fish --no-config -c 'source $argv[1]; complete -C "$argv[2]"' \
        "$TESTS/../scripts/completion/stepcell.fish" "$*" | cut -f1 ;;
    esac
}

@test "bash and fish complete commands, options and their values" {
    local shell words help
    for shell in bash fish; do
        while read -r words; do
            # shellcheck disable=SC2086 # several words
            help=$(stepcell_help $words)
            # shellcheck disable=SC2086
            assert_equal "$shell, $words" "$(complete_in "$shell" stepcell $words -- | grep '^--' | sort)" \
                "$(options "$help" | grep '^--')"
        done < <(commands)
        complete_in "$shell" stepcell exec - | grep -qx -e -it
        assert_equal "$shell, commands" "$(complete_in "$shell" stepcell image g)" gc
        assert_equal "$shell, values" "$(complete_in "$shell" stepcell run --network '' | sort)" $'host\nnone\nprivate'
        assert_match "$(complete_in "$shell" stepcell run -w /va)" "/var*"
        assert_equal "$shell, flags" "$(complete_in "$shell" stepcell run --timeout '')" ""
    done
}

@test "zsh completes as bash does" {
    cat >"$TEST_DIR/type.py" <<'END'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PS1="> ")
    os.execvp("zsh", ["zsh", "-f", "-i"])
seen = b""
def await_text(text, seconds=20):
    global seen
    end = time.monotonic() + seconds
    while text not in seen:
        if time.monotonic() > end:
            sys.exit(f"no {text} in {seen}")
        if select.select([fd], [], [], 0.2)[0]:
            seen += os.read(fd, 65536)
os.write(fd, b"fpath=(%s $fpath); autoload -U compinit && compinit -D -u && echo rea''dy\n" % sys.argv[1].encode())
await_text(b"ready")
os.write(fd, b"stepcell run --hostn\t")
await_text(b"--hostname")
os.write(fd, b"x\x15stepcell image ver\t")
await_text(b"verify")
os.write(fd, b"\x15exit\n")
os.waitpid(pid, 0)
END
    /usr/bin/python3 "$TEST_DIR/type.py" "$(cd "$TESTS/../scripts/completion" && pwd)"
}
