# A whiteout whose parent is a link to a directory of the host.
mkdir one two
ln -s "$(dirname "$CANARY")" one/out
mkdir two/out
touch "two/out/.wh.$(basename "$CANARY")"
tar -C one -cf layer.tar out
tar -C two -rf layer.tar "out/.wh.$(basename "$CANARY")"
