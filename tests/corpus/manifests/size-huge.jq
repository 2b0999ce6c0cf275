.layers[0].size = 1e18
