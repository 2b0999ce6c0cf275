.annotations = {"dev.cosignproject.cosign/signatures": .annotations[]}
