# Bytes that are no archive at all.
head -c 4096 /dev/urandom >layer.tar
