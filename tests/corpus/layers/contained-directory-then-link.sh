# A directory that becomes a link, then a file below it.
mkdir -p one/d two three/d
ln -s /tmp two/d
echo broken >three/d/stepcell-breakout
tar -C one -cf layer.tar d
tar -C two -rf layer.tar d
tar -C three -rf layer.tar d/stepcell-breakout
