.layers[0].mediaType = "application/vnd.oci.image.layer.v1.tar+rot13"
