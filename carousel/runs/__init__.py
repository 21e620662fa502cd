"""Run folders from Python: load one, train one; what the commands do, as methods."""
