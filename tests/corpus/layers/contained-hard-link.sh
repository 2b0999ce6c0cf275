# A hard link to a symbolic link to a file of the host, which then gets another mode and content.
mkdir one two
ln -s "$CANARY" one/link
ln one/link one/hard
echo broken >two/hard
chmod 0777 two/hard
tar -C one -cf layer.tar link hard
tar -C two -rf layer.tar hard
