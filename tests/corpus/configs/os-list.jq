.os = ["linux"]
