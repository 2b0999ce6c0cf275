# The Debian package: built, checked, installed and used, in a copy of this machine's root that is thrown away.

load ../lib/common

# in_a_copy COMMAND...: with a root that is an overlay over this machine's; $TEST_DIR is the real one
in_a_copy() {
    local copy=$TEST_DIR/copy
    mkdir -p "$copy"
    # shellcheck disable=SC2016 # expanded inside
    unshare --mount --propagation private bash -c '
        set -e
        copy=$1 kept=$2
        shift 2
        mount -t tmpfs copy "$copy"
        mkdir "$copy"/{upper,work,root}
        mount -t overlay -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" copy "$copy/root"
        for dir in /dev /proc /sys "$kept"; do mount --rbind "$dir" "$copy/root$dir"; done
        cd "$copy/root"
        pivot_root . mnt
        umount -l /mnt
        exec "$@"' copy "$copy" "$TEST_DIR" "$@"
}

setup_file() {
    local source=$TEST_DIR/package/stepcell-0.1.0
    mkdir -p "$source"
    git -C "$TESTS/.." ls-files -z | tar -C "$TESTS/.." --null -T - -c | tar -C "$source" -x
    (cd "$source" && DEB_BUILD_OPTIONS=parallel=2 dpkg-buildpackage -us -uc -b) >"$TEST_DIR/package/log" 2>&1 || {
        tail -n 40 "$TEST_DIR/package/log"
        return 1
    }
    dpkg-deb -c "$TEST_DIR"/package/stepcell_*.deb >"$TEST_DIR/package/files"
}

@test "the package builds, and lintian finds no error in it" {
    run -0 lintian --allow-root --fail-on error "$TEST_DIR"/package/stepcell_*.changes
    run ! grep "^E: " <<<"$output"
    local file
    for file in bin/stepcell libexec/stepcell/stepcell-{docker,events,image,init,join,kubernetes,pod} share/man/man1/stepcell-run.1.gz \
        share/man/man5/stepcell{-step,-policy,.lock}.5.gz share/man/man7/stepcell.7.gz share/bash-completion/completions/stepcell \
        share/zsh/site-functions/_stepcell share/fish/vendor_completions.d/stepcell.fish; do
        grep -q " ./usr/$file\$" "$TEST_DIR/package/files"
    done
}

@test "the installed package runs the quickstart, and leaves nothing when it is removed" {
    # shellcheck disable=SC2016
    run -0 in_a_copy bash -euc '
        export STEPCELL_STORE=$2/package/store TMPDIR=$2/package
        installed() { find /usr /etc -name "*stepcell*" | sort; }
        before=$(installed)
        dpkg --install "$2"/package/stepcell_*.deb
        [ "$(command -v stepcell)" = /usr/bin/stepcell ]
        cd "$2/package/stepcell-0.1.0"
        ./scripts/quickstart --installed
        man -w stepcell-run
        dpkg --purge stepcell
        diff <(echo "$before") <(echo "$(installed)")' copy copy "$TEST_DIR"
    assert_match "$output" "*hello from*"
    assert_match "$output" "*Grace*"
    assert_match "$output" "*image.entrypoint*" || assert_match "$output" "*entrypoint*"
}

@test "an installation has the same files below a prefix of one's own, and they work from there" {
    local prefix=$TEST_DIR/package/prefix
    cmake --install "${STEPCELL_RELEASE%/bin/*}" --prefix "$prefix" >"$TEST_DIR/package/install-log"
    assert_equal files "$(cd "$prefix" && find . -type f | sed 's/^\.//' | sort)" \
        "$(sed -nE 's/.* \.\/usr(\/.*[^/])$/\1/p' "$TEST_DIR/package/files" |
            grep -vE '^/share/(doc|lintian)/' | sed 's/\.gz$//' | sort)"
    work_dir
    run -0 as "$prefix/bin/stepcell" run --workdir "$WORK" --progress none "$IMAGE" -- echo installed
    assert_equal output "$output" installed
}
