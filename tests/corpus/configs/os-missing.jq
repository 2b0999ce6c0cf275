del(.os)
