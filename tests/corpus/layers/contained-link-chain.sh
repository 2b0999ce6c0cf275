# Two links in a row, and a file through both.
mkdir one two
ln -s ../../../../../../.. one/up
ln -s up/tmp one/out
mkdir two/out
echo broken >two/out/stepcell-breakout
tar -C one -cf layer.tar up out
tar -C two -rf layer.tar out/stepcell-breakout
