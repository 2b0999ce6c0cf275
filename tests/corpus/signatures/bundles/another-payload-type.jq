.dsseEnvelope.payloadType = "application/json"
