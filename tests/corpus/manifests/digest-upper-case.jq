.layers[0].digest |= ascii_upcase
