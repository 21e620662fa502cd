"""Small examples for transcribers: series in which a number rises for each label, blurred by noise."""

import numpy as np

from carousel.transcription.examples import Examples
from carousel.transcription.folder import Alphabet, examples_path


def examples(count, seed=1, letters="abc"):
    """Arrays of series: each letter is two or three steps of its own number, with two of nothing after it."""
    choose = np.random.default_rng(seed)
    texts = ["".join(choose.choice(list(letters), size=choose.integers(1, 5))) for _ in range(count)]
    inputs, lengths = np.zeros((count, 20, len(letters)), np.float32), np.zeros(count, int)
    for k, text in enumerate(texts):
        at = 0
        for letter in text:
            wide = choose.integers(2, 4)
            inputs[k, at : at + wide, letters.index(letter)] = 1
            at += wide + 2
        lengths[k] = at
    inputs += choose.normal(0, 0.1, inputs.shape).astype(np.float32)
    return {"inputs": inputs, "lengths": lengths, "targets": np.array(texts)}


def stored(folder, part):
    """The examples of a part of a run folder."""
    alphabet = Alphabet.load(folder)
    return Examples.load(examples_path(folder, part), len(alphabet.labels), alphabet.size)
