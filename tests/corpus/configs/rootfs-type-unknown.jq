.rootfs.type = "files"
