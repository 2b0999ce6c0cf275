.schemaVersion = 1
