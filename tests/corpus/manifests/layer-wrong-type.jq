.layers[0] = "sha256"
