del(.layers[0].size)
