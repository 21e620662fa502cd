"""The page: the drawing of a cell, a small server, and what the browser shows."""
