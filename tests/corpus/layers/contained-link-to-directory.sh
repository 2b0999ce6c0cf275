# A symbolic link to a directory of the host, then a file through it.
mkdir one two
ln -s "$(dirname "$CANARY")" one/out
mkdir -p two/out
echo broken >"two/out/$(basename "$CANARY")"
tar -C one -cf layer.tar out
tar -C two -rf layer.tar "out/$(basename "$CANARY")"
