# A file where the layer below has a directory, and a directory where it has a file.
mkdir sh
touch sh/x
echo x >etc
tar -cf layer.tar etc --transform 's,^sh,bin/sh,' sh
