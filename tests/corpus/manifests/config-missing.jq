del(.config)
