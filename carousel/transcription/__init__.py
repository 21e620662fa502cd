"""Transcribers: sequences and images in, labels out, without being told where each label stands (CTC)."""
