del(.rootfs)
