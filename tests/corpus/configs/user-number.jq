.config = {User: 0}
