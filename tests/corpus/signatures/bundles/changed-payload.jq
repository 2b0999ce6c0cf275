.dsseEnvelope.payload |= (@base64d | sub("cosign"; "cosigm") | @base64)
