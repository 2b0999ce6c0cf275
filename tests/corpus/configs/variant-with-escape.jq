.variant = "v1\u001b[2J"
