.manifests = [.config]
