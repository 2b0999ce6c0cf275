.layers[0].digest |= .[0:70]
