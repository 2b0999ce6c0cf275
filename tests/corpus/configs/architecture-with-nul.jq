.architecture = "amd64\u0000"
