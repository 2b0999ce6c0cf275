.dsseEnvelope.signatures |= . + .
