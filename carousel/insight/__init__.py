"""A look inside a network: the error flows backwards, the memory forwards."""
