.config = {Env: {A: "1"}}
