"""A language model as one C file: its layers, embedding, output layer and vocabulary, and a program that writes and scores."""

from __future__ import annotations

from carousel.export.c99.file import head, layers_code, whole
from carousel.export.c99.vocabulary import program
from carousel.export.c99.weights import vector, weight
from carousel.export.checks import check_output
from carousel.export.rounding import numbers
from carousel.language.model import LanguageModel
from carousel.text.vocabulary import Vocabulary


def of_language(
    model: LanguageModel, vocabulary: Vocabulary, precision: str = "float32", *, open: bool = False, libm: bool = True
) -> str:
    """Return a language model as one C99 file: ``model_init``, ``model_token``; with ``-DMAIN`` a program.

    Args:
        model: a language model that reads in one direction.
        vocabulary: its vocabulary.
        precision: of dense weights: float32, bfloat16 or int8.
        open: let a caller read and hold the named quantities of a step, as ``layer_code`` does.
        libm: include ``math.h``. Without it the model has mathematical functions of its own; the program needs it anyway.

    Returns:
        The text of the file.

    Raises:
        InputError: the output layer has no row for each token, weights are not finite, or no precision has that name.
    """
    check_output(model, "C")
    embedding = weight("model_embedding", numbers(model.embedding.weight), precision)
    output = embedding if model.config.tied else weight("model_output", numbers(model.output.weight), precision)
    size, inputs = model.recurrent.output_size, model.config.input_size
    layers = layers_code(model.recurrent, precision, open=open)
    constants = embedding.text + ("" if output is embedding else output.text)
    constants += vector("model_output_bias", numbers(model.output.bias))
    fresh = "  if (token == MODEL_END) model_init(s);\n" if model.fresh_at is not None else ""
    body = f"""{layers}
{constants}
/* Reads a token; logits[MODEL_VOCABULARY] are the scores of the next. */
void model_token(model_state *s, int token, float *logits);
void model_token(model_state *s, int token, float *logits) {{
  float x[{inputs}], y[{size}];
  int k;
{fresh}  for (k = 0; k < {inputs}; k++) x[k] = {embedding.number("token", inputs)};
  model_step(s, x, y);
  for (k = 0; k < MODEL_VOCABULARY; k++) logits[k] = model_output_bias[k];
  {output.add("logits", 0, "y", size)}
}}
"""
    known = {
        "INPUTS": inputs,
        "OUTPUTS": size,
        "VOCABULARY": vocabulary.size,
        "END": vocabulary.end,
        "UNKNOWN": -1 if vocabulary.unknown is None else vocabulary.unknown,
        "WORDS": int(vocabulary.kind == "word"),
        "SENTENCES": int(model.fresh_at is not None),
    }
    defined = "".join(f"#define MODEL_{name} {value}\n" for name, value in known.items())
    return f"{head(model.recurrent, precision, libm)}{defined}\n{whole(body, libm)}\n{program(vocabulary)}"
