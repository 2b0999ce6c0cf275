.predicateType = "https://spdx.dev/Document"
