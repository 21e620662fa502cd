"""JavaScript: one module that needs nothing, for browsers and Node."""
