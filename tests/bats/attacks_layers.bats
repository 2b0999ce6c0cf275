# What the bytes of a layer may try against the one who unpacks it and against the cell that is made of
# it. tests/unit/test_unpack.c and tests/corpus/layers have the single entries; here is what needs a whole
# image, a whole store or a lot of bytes.

load ../lib/common
load ../lib/images
load ../lib/attacks

setup_file() { make_attacks; }
teardown_file() { remove_attacks; }
teardown() { release_store; }

# tar_header NAME TYPE SIZE: one header of a tar archive, with its checksum
tar_header() {
    perl -e 'my ($name, $type, $size) = @ARGV;
        my $header = pack("a100 a8 a8 a8 a12 a12 A8 a1 a100 a6 a2 x247", $name, "0000755", "0000000", "0000000",
            sprintf("%011o", $size), "00000000000", "", $type, "", "ustar", "00");
        my $sum = 0;
        $sum += $_ for unpack("C*", $header);
        substr($header, 148, 8) = sprintf("%06o\0 ", $sum);
        print $header' "$1" "$2" "$3"
}

# pax_entry NAME SIZE KEY=VALUE...: a header for a file with these extended attributes, padded
pax_entry() {
    local name=$1 size=$2 records='' record length
    shift 2
    for record in "$@"; do
        length=$((${#record} + 2))
        length=$((length + ${#length}))
        [ ${#length} = $((length - ${#record} - 2)) ] || length=$((${#record} + 2 + ${#length}))
        records+="$length $record"$'\n'
    done
    tar_header pax x ${#records}
    printf %s "$records"
    head -c $(((512 - ${#records} % 512) % 512)) /dev/zero
    tar_header "$name" 0 "$size"
}

# repeated COUNT <BYTES: the bytes so many times, as members of gzip, so that it takes no time
repeated() {
    local member=$BATS_TEST_TMPDIR/member i
    gzip -nc >"$member"
    for ((i = 0; i < $1; i++)); do cat "$member"; done
}

end_of_archive() { head -c 1024 /dev/zero; }

@test "bombs end at a limit, in time, and leave nothing" {
    local layer=$BATS_TEST_TMPDIR/layer
    # More entries than the limit, of a kind that costs nothing to write.
    { for i in $(seq 1000); do tar_header bomb 3 0; done | repeated 2001; } >"$layer"
    hostile_image bomb-entries '{}' "$layer" +gzip
    { pax_entry bomb 512 GNU.sparse.major=1 GNU.sparse.minor=0 GNU.sparse.name=bomb GNU.sparse.realsize=1152921504606846976
        printf '1\n1152921504606846976\n0\n' | dd bs=512 conv=sync status=none
        end_of_archive; } >"$layer"
    hostile_image bomb-sparse '{}' "$layer"
    { tar_header pax x 1073741824 | repeated 1; head -c 67108864 /dev/zero | repeated 16; tar_header bomb 0 0 | repeated 1; } >"$layer"
    hostile_image bomb-pax '{}' "$layer" +gzip
    { tar_header ././@LongLink L 1073741824 | repeated 1; head -c 67108864 /dev/zero | tr '\0' x | repeated 16; } >"$layer"
    hostile_image bomb-name '{}' "$layer" +gzip
    { pax_entry bomb 0 size=9223372036854775807; end_of_archive; } >"$layer"
    hostile_image bomb-pax-size '{}' "$layer"
    { pax_entry bomb 0 "path=$(printf 'd/%.0s' $(seq 5000))x"; end_of_archive; } >"$layer"
    hostile_image bomb-path '{}' "$layer"
    { for i in $(seq 300); do pax_entry bomb 0 "path=$(printf 'd/%.0s' $(seq 250))$i/x"; done; end_of_archive; } >"$layer"
    hostile_image deep '{}' "$layer"
    bombs() {
        local name
        for name in entries sparse pax name pax-size path; do
            IMAGE=oci:$LAYOUT:bomb-$name
            run --separate-stderr as timeout 60 "$STEPCELL_RELEASE" run --result "$RESULT" -w "$WORK" --progress none "$IMAGE" -- true
            echo "$name: $status $stderr"
            assert_refused image.corrupt
            assert_equal "what is left" "$(find "$TEST_DIR/store/$CALLER"/{layers,tmp} -name bomb)" ""
        done
        IMAGE=oci:$LAYOUT:deep
        run -0 --separate-stderr cell -- true
        # As deep as a layer may be, it can be measured and compared as well.
        run -0 as "$STEPCELL" image list --json
        run -0 as "$STEPCELL" image verify
    }
    each_caller bombs
}

# small_store SIZE: an empty store of this size for the caller, as $SMALL
small_store() {
    SMALL=$(realpath ..)/small
    mkdir "$SMALL"
    mount -t tmpfs -o "size=$1,mode=700,uid=$(id -u "$(caller_name)"),gid=$(id -g "$(caller_name)")" stepcell-small "$SMALL"
}

release_store() {
    [ -z "${SMALL:-}" ] || umount -l "$SMALL" 2>/dev/null || true
    SMALL=
}

@test "a bomb of zeros fills a store at the most, and leaves it as it was" {
    local layer=$BATS_TEST_TMPDIR/layer
    # Five gigabytes in five megabytes: a thousand times its size.
    { tar_header bomb 0 5368709120 | repeated 1; head -c 67108864 /dev/zero | repeated 80; } >"$layer"
    hostile_image bomb-size '{}' "$layer" +gzip
    zeros() {
        small_store 64m
        IMAGE=oci:$LAYOUT:bomb-size
        run --separate-stderr cell --store "$SMALL" -- true
        assert_refused store.full
        assert_equal "what is left" "$(find "$SMALL" -name bomb)" ""
        IMAGE=oci:$IMAGES/busybox:latest
        run -0 --separate-stderr cell --store "$SMALL" -- true
        release_store
    }
    each_caller zeros
}

@test "attributes that are too large are the image's fault, not a full disk" {
    local layer=$BATS_TEST_TMPDIR/layer
    mkdir "$layer"
    touch "$layer/x"
    tar -C "$layer" --format=pax --pax-option="SCHILY.xattr.user.large:=$(printf %070000d 0)" -cf "$layer.tar" x
    hostile_image attributes '{}' "$layer.tar"
    attributes() {
        IMAGE=oci:$LAYOUT:attributes
        run --separate-stderr cell -- true
        assert_refused image.corrupt
        assert_match "$stderr" "*'x': its attributes are more than*"
    }
    each_caller attributes
}

@test "what only overlayfs may say is not taken from a layer" {
    local layer=$BATS_TEST_TMPDIR/layer
    mkdir -p "$layer"/{bin,etc,new}
    setfattr -n user.overlay.opaque -v y "$layer/bin"
    setfattr -n trusted.overlay.opaque -v y "$layer/bin"
    setfattr -n user.overlay.redirect -v /etc "$layer/new"
    setfattr -n trusted.overlay.redirect -v /etc "$layer/new"
    touch "$layer/etc/metacopy"
    setfattr -n user.overlay.metacopy "$layer/etc/metacopy"
    setfattr -n user.overlay.redirect -v /bin/busybox "$layer/etc/metacopy"
    setfattr -n user.overlay.whiteout -v y "$layer/etc/metacopy"
    setfattr -n user.harmless -v kept "$layer/etc/metacopy"
    mknod "$layer/home" c 0 0
    tar -C "$layer" --numeric-owner --xattrs --xattrs-include='*' -cf "$layer.tar" .
    hostile_image overlay '{}' "$layer.tar"
    overlay() {
        IMAGE=oci:$LAYOUT:overlay
        run -0 --separate-stderr cell -- sh -c '[ -x /bin/busybox ] && [ ! -e /new/passwd ] && [ -d /home/app ] &&
            [ ! -s /etc/metacopy ] && echo usual'
        assert_equal output "$output" usual
        find "$TEST_DIR/store/$CALLER/layers" -exec getfattr -h -d -m 'overlay|selinux' {} + 2>/dev/null >../attributes
        assert_equal attributes "$(cat ../attributes)" ""
    }
    each_caller overlay
}

@test "a layer that comes twice counts once, and an image without layers is refused" {
    local layout=$ATTACKS/twice one=$BATS_TEST_TMPDIR/one two=$BATS_TEST_TMPDIR/two
    new_layout "$layout"
    mkdir -p "$one/bin" "$one/etc" "$two/etc"
    cp "$(command -v busybox)" "$one/bin/sh"
    echo one | tee "$one/etc/both" >"$one/etc/gone"
    echo two >"$two/etc/both"
    touch "$two/etc/.wh.gone"
    layer_of "$one" >/dev/null
    layer_of "$two" >/dev/null
    put_image "$layout" '{}' "$one.tar" "$two.tar" "$one.tar" "$one.tar" | name_image "$layout" one
    put_image "$layout" '{}' "$two.tar" "$one.tar" "$two.tar" | name_image "$layout" two
    put_image "$layout" '{}' | name_image "$layout" none
    chmod -R a+rX "$layout"
    twice() {
        IMAGE=oci:$layout:one
        run -0 --separate-stderr cell -- sh -c 'read -r x </etc/both; echo $x; [ -e /etc/gone ] && echo there'
        assert_equal output "$output" $'one\nthere'
        IMAGE=oci:$layout:two
        run -0 --separate-stderr cell -- sh -c 'read -r x </etc/both; echo $x; [ -e /etc/gone ] || echo gone'
        assert_equal output "$output" $'two\ngone'
        IMAGE=oci:$layout:none
        run --separate-stderr cell -- sh -c :
        assert_refused image.corrupt
    }
    each_caller twice
}

@test "neither set-id bits nor file capabilities of a layer give anything" {
    local layer=$BATS_TEST_TMPDIR/layer name
    mkdir -p "$layer/bin"
    for name in plain set-uid set-gid capable all-capable; do cp "$ATTACK" "$layer/bin/$name"; done
    chmod 4755 "$layer/bin/set-uid"
    chmod 2755 "$layer/bin/set-gid"
    setcap cap_sys_admin,cap_net_raw+ep "$layer/bin/capable"
    setcap all+ep "$layer/bin/all-capable"
    tar -C "$layer" --numeric-owner --owner=0 --group=0 --xattrs --xattrs-include='*' -cf "$layer.tar" .
    hostile_image set-id '{}' "$layer.tar"
    gains() {
        local user
        IMAGE=oci:$LAYOUT:set-id
        for user in 0 1000:1000; do
            run -0 --separate-stderr cell --user "$user" -- plain privileges
            assert_equal output "$output" ""
            for name in set-uid set-gid capable all-capable; do
                # A program that may not get its capabilities may not start either.
                run --separate-stderr cell --user "$user" -- "$name" privileges
                assert_match "$status" "@(0|126)"
                assert_equal "$name" "$output" ""
            done
        done
    }
    each_caller gains
}

@test "one layer cannot be changed through the cells that are made of it" {
    change() {
        run -0 --separate-stderr cell -- sh -c 'cp /bin/busybox /tmp/b; for f in /bin/busybox /etc/passwd; do
            chmod 777 $f; echo changed >>$f; ln $f $f.linked; mv $f.linked $f.moved; setfattr -n user.x -v y $f; done
            /tmp/b mount -o remount,rw /; /tmp/b rm -rf /bin /etc /home; exit 0'
        run -0 --separate-stderr cell -- sh -c 'tail -c 8 /bin/busybox | grep -q changed || grep changed /etc/passwd; ls -ld /bin/busybox | cut -c1-10; ls -d /home/app'
        assert_equal output "$output" $'-rwxr-xr-x\n/home/app'
    }
    each_caller change
}

@test "a store without space says so, keeps nothing half done, and works again with space" {
    full() {
        small_store 2m
        run --separate-stderr cell --store "$SMALL" -- true
        assert_refused store.full
        assert_equal "what is left" "$(find "$SMALL"/{layers,tmp,images} -type f)" ""
        mount -o remount,size=64m "$SMALL"
        run -0 --separate-stderr cell --store "$SMALL" -- echo usual
        assert_equal output "$output" usual
        release_store
    }
    each_caller full
}

@test "a store that cannot be written to is refused with the cause" {
    readonly_store() {
        small_store 64m
        mount -o remount,ro "$SMALL"
        run --separate-stderr cell --store "$SMALL" -- true
        assert_equal status "$status" 125
        assert_match "$stderr" "*Read-only file system*"
        release_store
    }
    each_caller readonly_store
}
