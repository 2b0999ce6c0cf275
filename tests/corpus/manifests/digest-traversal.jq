.layers[0].digest = "sha256:../../../../etc/passwd"
