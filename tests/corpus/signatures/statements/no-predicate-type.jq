del(.predicateType)
