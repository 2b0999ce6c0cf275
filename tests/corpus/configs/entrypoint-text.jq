.config = {Entrypoint: "/bin/sh"}
