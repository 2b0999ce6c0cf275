.mediaType = "application/json"
