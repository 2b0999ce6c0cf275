del(.critical.type)
