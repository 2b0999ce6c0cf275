.config = {Env: [range(5000) | "A\(.)=1"]}
