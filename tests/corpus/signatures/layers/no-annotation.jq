del(.annotations)
