.rootfs.diff_ids = (.rootfs.diff_ids[0])
