.critical.image["docker-manifest-digest"] = "sha256:" + ("0" * 64)
