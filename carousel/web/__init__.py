"""The page: the drawing of a cell, a small server, and the files for the browser."""
