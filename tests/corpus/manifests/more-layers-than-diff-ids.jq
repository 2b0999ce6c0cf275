.layers += [.layers[0]]
