# Completion for stepcell in fish. What there is to complete is asked of the programs themselves: `stepcell
# COMMAND --help` is printed from the tables that parse the options.

function __stepcell_help
    set -l words (commandline -opc)
    set -l path
    set -l help (command $words[1] --help 2>/dev/null)
    for word in $words[2..]
        if string match -q -- '-*' $word; or not string match -qr '^  [a-z]' -- $help
            break
        end
        set -a path $word
        set help (command $words[1] $path --help 2>/dev/null)
    end
    printf '%s\n' $help
end

# Commands with what they do, or options with theirs; after an option, what its value can be.
function __stepcell_complete
    set -l words (commandline -opc)
    set -l help (__stepcell_help)
    set -l last $words[-1]
    if string match -q -- '-*' $last
        set -l argument (string match -rg -- "^  (?:-., |    )$last (\S+) " $help; or \
            string match -rg -- "^  $last, --[a-z0-9-]+ (\S+) " $help)
        switch "$argument"
            case '*DIR*' '*FILE*'
                __fish_complete_path (commandline -ct)
                return
            case '*|*'
                string split '|' -- $argument
                return
            case '?*'
                return
        end
    end
    if string match -q -- '-*' (commandline -ct)
        string replace -rf -- '^  (?:-[a-z]+, |    )(--?[a-z0-9-]+)(?: \S+)? +(.*)$' '$1\t$2' $help
        string replace -rf -- '^  (-[a-z]+), --?\S+(?: \S+)? +(.*)$' '$1\t$2' $help
    else if string match -qr '^  [a-z]' -- $help
        string replace -rf -- '^  ([a-z][a-z-]*) +(.*)$' '$1\t$2' $help
    else if string match -qr '^(Usage:|      ) .*(IMAGE|REFERENCE)' -- $help
        command $words[1] image list 2>/dev/null | string replace -r '\s.*' ''
        __fish_complete_path (commandline -ct)
    end
end

complete -c stepcell -f -a '(__stepcell_complete)'
