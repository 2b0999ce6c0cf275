.critical.image["docker-manifest-digest"] |= [.]
