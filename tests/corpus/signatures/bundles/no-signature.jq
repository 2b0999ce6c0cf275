.dsseEnvelope.signatures = []
