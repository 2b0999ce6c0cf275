._type = "https://in-toto.io/Statement/v2"
