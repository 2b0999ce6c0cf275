.dsseEnvelope.payload = "*"
