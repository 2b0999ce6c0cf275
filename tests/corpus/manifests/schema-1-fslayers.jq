.fsLayers = [{blobSum: .layers[0].digest}] | del(.layers) | .schemaVersion = 1
