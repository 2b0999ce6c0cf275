.rootfs.diff_ids = []
