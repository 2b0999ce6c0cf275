.critical.image["docker-manifest-digest"] |= ascii_upcase
