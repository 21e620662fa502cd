"""Text as models read it: lines, vocabularies, encoded text."""
