.layers[0].size |= tostring
