"""What the commands say in one line, rather than with a traceback."""


class InputError(ValueError):
    """Something given to Carousel cannot be used: says what is wrong, where, and what to do. Exit status 2."""


class TrainingError(RuntimeError):
    """A run had to stop: says at which step, and what the last good checkpoint is. Exit status 1."""
