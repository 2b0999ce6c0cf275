# A block device and the raw form of an overlay whiteout.
mkdir dev
mknod dev/sda b 8 0
mknod raw c 0 0
tar -cf layer.tar dev raw
