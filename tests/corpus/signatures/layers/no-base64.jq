.annotations["dev.cosignproject.cosign/signature"] = "*"
