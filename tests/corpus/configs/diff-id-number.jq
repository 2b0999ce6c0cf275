.rootfs.diff_ids[0] = 5
