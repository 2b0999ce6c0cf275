.messageSignature = {}
