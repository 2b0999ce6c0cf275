.critical.type = "atomic container signature"
