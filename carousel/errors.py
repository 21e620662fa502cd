"""Errors that the commands tell in one line, without a traceback."""


class InputError(ValueError):
    """Something given to Carousel cannot be used: the message names it, the place, and a way out. Exit status 2."""


class TrainingError(RuntimeError):
    """A run had to stop: the message names the step, and the last good checkpoint. Exit status 1."""
