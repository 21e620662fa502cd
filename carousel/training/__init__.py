"""Training of whatever learns by gradient: configuration, loop, checkpoints, the run folder."""
