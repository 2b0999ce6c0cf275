# The documents against the code.

setup() { ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd); }

@test "docs/errors.md explains every error code and no other" {
    diff <(sed -n 's/^ *X([A-Z_]*, "\(.*\)").*/\1/p' "$ROOT/base/err.h" | grep -vx none | sort) \
        <(sed -n 's/^## `\(.*\)`$/\1/p' "$ROOT/docs/errors.md" | sort)
}

@test "docs/dependencies.md gives a reason for every package that scripts/deps installs" {
    local package
    for package in $(sed -n '/^build=/,/^bench=/p' "$ROOT/scripts/deps" | sed 's/^[a-z_]*=//' | tr -d '"'); do
        grep -q "^| \`$package\` |" "$ROOT/docs/dependencies.md" || {
            echo "no line for $package"
            return 1
        }
    done
}

@test "every test that docs/threat-model.md names is there" {
    local file name count=0
    # A line for each `file`: "name" of its tables.
    while IFS=$'\t' read -r file name; do
        count=$((count + 1))
        case $file in
        *.bats) grep -qF "@test \"$name\"" "$ROOT/tests/bats/$file" ;;
        *.c) grep -qE "cmocka_unit_test(_setup_teardown)?\(${name}[,)]" "$ROOT/tests/unit/$file" ;;
        *) false ;;
        esac || {
            echo "no test '$name' in '$file'"
            return 1
        }
    done < <(perl -ne 'next unless /^\|/; my $file = "";
        while (/`(\w+\.(?:bats|c))`|"([^"]+)"/g) { defined $1 ? $file = $1 : print "$file\t$2\n" }' \
        "$ROOT/docs/threat-model.md")
    [ "$count" -gt 50 ]
}

@test "the layer check finds what it is there to find" {
    "$ROOT/scripts/check-layers" --self-test
}
