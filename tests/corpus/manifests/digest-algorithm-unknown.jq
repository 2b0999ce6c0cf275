.layers[0].digest |= sub("sha256"; "md5")
