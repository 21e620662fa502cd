"""The page that looks into a model: its files for the browser, and what it is told of a model, whoever serves it."""
