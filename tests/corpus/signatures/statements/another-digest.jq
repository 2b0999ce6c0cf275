.subject[0].digest.sha256 = "0" * 64
