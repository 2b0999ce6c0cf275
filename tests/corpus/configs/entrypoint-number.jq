.config = {Entrypoint: [1]}
