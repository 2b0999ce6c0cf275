.mediaType = "application/vnd.oci.image.layer.v1.tar"
