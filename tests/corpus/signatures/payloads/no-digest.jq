del(.critical.image)
