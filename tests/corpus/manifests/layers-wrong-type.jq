.layers = {}
