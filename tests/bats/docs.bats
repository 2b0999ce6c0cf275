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

@test "the layer check finds what it is there to find" {
    "$ROOT/scripts/check-layers" --self-test
}
