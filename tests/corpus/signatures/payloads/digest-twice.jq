tojson | sub("\"docker-manifest-digest\""; "\"docker-manifest-digest\":\"\",\"docker-manifest-digest\"")
