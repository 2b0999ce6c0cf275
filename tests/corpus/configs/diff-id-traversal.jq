.rootfs.diff_ids[0] = "sha256:../../x"
