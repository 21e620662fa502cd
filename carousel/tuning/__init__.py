"""Search for the settings of a training: Optuna chooses them, and each trial is a run of a command."""
