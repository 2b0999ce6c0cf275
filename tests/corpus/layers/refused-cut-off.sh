# An archive that ends in the middle of a file.
head -c 100000 /dev/urandom >file
tar -cf whole.tar file
head -c 50000 whole.tar >layer.tar
