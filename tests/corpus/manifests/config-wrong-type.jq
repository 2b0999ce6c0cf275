.config = []
