.optional = {"docker-manifest-digest": .critical.image["docker-manifest-digest"]} | del(.critical.image)
