"""What flows through a network: the error backwards, the memory forwards."""
