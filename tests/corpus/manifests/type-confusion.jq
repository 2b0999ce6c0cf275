.mediaType = "application/vnd.oci.image.index.v1+json"
