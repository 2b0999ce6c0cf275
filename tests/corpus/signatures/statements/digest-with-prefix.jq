.subject[0].digest.sha256 |= "sha256:" + .
