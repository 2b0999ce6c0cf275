.rootfs.diff_ids[0] |= ascii_upcase
