def estimate_flow(*a): raise NotImplementedError
