.subject[0].digest = {sha512: .subject[0].digest.sha256}
