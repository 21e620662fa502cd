"""The page that looks into a model: its files for the browser, and the facts of a model that it shows."""
