del(.dsseEnvelope)
