"""A translator as one C file: encoder, bridge, attention, decoder, both vocabularies, and a program that translates lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch
from torch import nn

from carousel.export.c99.file import head, layers_code, whole
from carousel.export.c99.vocabulary import tables, text_of, texts, tokens
from carousel.export.c99.weights import Weight, vector, weight
from carousel.export.rounding import numbers
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary
from carousel.translation.attention import Attention
from carousel.translation.model import Translator
from carousel.translation.translate import LONGEST


def of_translator(model: Translator, source: Vocabulary, target: Vocabulary, precision: str = "float32") -> str:
    """Return a translator as one C99 file: ``model_read`` reads a sentence, ``model_token`` gives the scores of the next token.

    With ``-DMAIN`` the file is a program that translates the lines of its standard input greedily. The state has room for
    sentences of ``MODEL_LONGEST`` tokens, which a compiler's option may define.

    Args:
        model: a translator. Its encoder may read in both directions, since it is given whole sentences.
        source: the vocabulary of the sentences that it reads.
        target: the vocabulary of the sentences that it writes.
        precision: of dense weights: float32, bfloat16 or int8.

    Returns:
        The text of the file.

    Raises:
        InputError: no precision has that name, or weights are not finite.
    """
    written = _Writer(model, precision)
    body = written.body()
    known = {
        "MODEL_VOCABULARY": target.size,
        "MODEL_END": target.end,
        "MODEL_UNKNOWN": -1 if target.unknown is None else target.unknown,
        "MODEL_WORDS": int(target.kind == "word"),
        "SOURCE_VOCABULARY": source.size,
        "SOURCE_END": source.end,
        "SOURCE_UNKNOWN": -1 if source.unknown is None else source.unknown,
        "SOURCE_WORDS": int(source.kind == "word"),
    }
    defined = "".join(f"#define {name} {value}\n" for name, value in known.items())
    defined += f"#ifndef MODEL_LONGEST\n#define MODEL_LONGEST {LONGEST}\n#endif\n"
    looked_up = "" if source.kind == "bpe" else texts(source)
    of_source = (looked_up + tables(source), tokens(source))
    read, reads = (re.sub(r"\bmodel_", "source_", re.sub(r"\bMODEL_", "SOURCE_", text)) for text in of_source)
    of_target = re.sub(r"\bmodel_", "target_", texts(target))
    program = f"#ifdef MAIN\n{of_target}{read}{text_of('read')}{reads}{text_of('translate')}#endif\n"
    return f"{head(model.encoder, precision)}{defined}\n{whole(body)}\n{program}"


def alone(layer: Recurrent, k: int, direction: int = 0) -> Recurrent:
    """Return one layer of a stack, in one direction, as a ``Recurrent`` of its own."""
    size, hidden, projection, *own = layer.sizes(k)
    made = Recurrent(
        layer.cell,
        size,
        hidden,
        bias=layer.bias,
        proj_size=projection,
        learned_initial=layer.learned_initial,
        input_sizes=dict(zip(layer.input_sizes, own, strict=True)),
        rates=layer.rates,
    ).eval()
    with torch.no_grad():
        for name, value in layer.parameters_of(k, direction).items():
            if (found := _own(made, name)) is not None:
                found.copy_(value)
        for name in layer.cell.states if layer.learned_initial else ():
            made.parameter(f"initial.{name}").copy_(layer.parameter(f"initial.{name}", k, direction))
    return made


def _own(layer: Recurrent, name: str) -> nn.Parameter | None:
    """Return a layer's parameter; None where it is not learned."""
    found = layer.parameter(name)
    return found if isinstance(found, nn.Parameter) else None


@dataclass
class _Part:
    """One layer in one direction: its name, code and sizes, and the units of its states by name."""

    name: str
    layer: Recurrent

    def code(self, precision: str) -> str:
        """Return its constants, state and step; its name replaces ``model``, ``layer0`` and ``l0`` of ``layers_code``."""
        text = layers_code(self.layer, precision)
        for old, new in ((r"\bmodel_(state|init|step)\b", rf"{self.name}_\1"), (r"\blayer0\b", f"{self.name}_layer")):
            text = re.sub(old, new, text)
        text = re.sub(r"\bl0_", f"{self.name}_", text)
        return re.sub(rf"^(void {self.name}_(?:init|step)\(.*?\))(;| {{)", r"static \1\2", text, flags=re.MULTILINE)

    def state(self, name: str) -> str:
        """Return the member of the translator's state that holds one of the part's states."""
        return f"s->{self.name}.{self.name}_{name}"


@dataclass
class _Writer:
    model: Translator
    precision: str
    constants: list[str] = field(default_factory=list)

    def dense(self, name: str, values: torch.Tensor) -> Weight:
        """Declare a dense weight."""
        made = weight(name, numbers(values), self.precision)
        self.constants.append(made.text)
        return made

    def linear(self, name: str, layer: nn.Linear, x: str, y: str) -> list[str]:
        """Declare a linear map; return the lines that apply it to an array."""
        w = self.dense(name, layer.weight)
        begin = "0.0f"
        if layer.bias is not None:
            self.constants.append(vector(f"{name}_bias", numbers(layer.bias)))
            begin = f"{name}_bias[k]"
        count, size = layer.weight.shape
        return [f"  for (k = 0; k < {count}; k++) {y}[k] = {begin};", f"  {w.add(y, 0, x, size)}"]

    def body(self) -> str:
        """Return the functions, without the program."""
        m = self.model
        encoder = m.encoder
        read = [
            _Part(f"encoder{number}{'fb'[d]}", alone(stack, k, d))
            for number, (stack, k) in enumerate(m.encoder_layers())
            for d in range(encoder.directions)
        ]
        write = [
            [_Part(f"{name}{k}", alone(layer, k)) for k in range(layer.num_layers)]
            for name, layer in (("decoder", m.decoder), ("upper", m.upper))
            if layer is not None
        ]
        codes = [part.code(self.precision) for part in [*read, *(p for parts in write for p in parts)]]
        reading, scoring = self.read(read, write), self.token(write)
        seen = encoder.output_size * encoder.directions
        wide = max(seen, *(p.layer.input_size for p in read))
        members = [f"  {p.name}_state {p.name};" for parts in write for p in parts]
        if m.attention is not None:
            members += ["  int count; /* positions of the sentence, whose outputs and keys follow */"]
            members += [f"  float outputs[MODEL_LONGEST][{seen}], keys[MODEL_LONGEST][{m.decoder.output_size}];"]
        members += [f"  float x[MODEL_LONGEST][{wide}], y[MODEL_LONGEST][{wide}]; /* of the encoder, while it reads */"]
        state = "typedef struct {\n" + "\n".join(members) + "\n} model_state;\n"
        return "\n".join([*codes, "".join(self.constants), state, reading, scoring])

    def read(self, read: list[_Part], write: list[list[_Part]]) -> str:
        """Return the function that reads a sentence."""
        m = self.model
        encoder = m.encoder
        embedding = self.dense("source_embedding", m.source_embedding.weight)
        lines = [f"  for (t = 0; t < count; t++)\n    for (k = 0; k < {encoder.input_size}; k++)"]
        lines[0] += f" s->x[t][k] = {embedding.number('source[t]', encoder.input_size)};"
        for number, part in enumerate(read):
            layer, direction = divmod(number, encoder.directions)
            a, b = ("x", "y") if layer % 2 == 0 else ("y", "x")
            if (steps := m.config.steps()[layer]) > 1 and not direction:
                lines += _blocks(f"s->{a}", steps, part.layer.input_size // steps)
            turn = "t = count - 1; t >= 0; t--" if direction else "t = 0; t < count; t++"
            place = f"s->{b}[t]{f' + {encoder.output_size}' if direction else ''}"
            lines += [f"  {part.name}_init(&{part.name});"]
            lines += [f"  for ({turn}) {part.name}_step(&{part.name}, s->{a}[t], {place});"]
        last = "x" if encoder.num_layers % 2 == 0 else "y"
        lines += [f"  {p.name}_init(&s->{p.name});" for parts in write for p in parts]
        lines += self.bridge(read, write)
        if m.attention is not None:
            seen, own = encoder.output_size * encoder.directions, m.decoder.output_size
            lines += ["  s->count = count;", "  for (t = 0; t < count; t++) {"]
            lines += [f"    for (k = 0; k < {seen}; k++) s->outputs[t][k] = s->{last}[t][k];"]
            key = m.attention.key
            if key is None:
                lines += [f"    for (k = 0; k < {own}; k++) s->keys[t][k] = s->outputs[t][k];"]
            else:
                lines += [f"  {line}" for line in self.linear("attention_key", key, "s->outputs[t]", "s->keys[t]")]
            lines += ["  }"]
        states = [f"  {p.name}_state {p.name};" for p in read]
        maps = [x for each in m.bridge.maps if isinstance(each, nn.ModuleList) for x in each if isinstance(x, nn.Linear)]
        flat, to = (max((getattr(x, name) for x in maps), default=0) for name in ("in_features", "out_features"))
        arrays = [f"  float flat[{flat}], bridged[{to}];"] if flat else []
        said = "/* Reads a sentence: token ids, of which the last is SOURCE_END, at most MODEL_LONGEST. */"
        signature = "void model_read(model_state *s, const int *source, int count)"
        return "\n".join(
            [
                said,
                f"{signature};",
                f"{signature} {{",
                *states,
                *arrays,
                f"  int t, k{', j' if m.factors[-1] > 1 else ''};",
                *lines,
                "}",
                "",
            ]
        )

    def bridge(self, read: list[_Part], write: list[list[_Part]]) -> list[str]:
        """Return the lines that carry the encoder's last states over to the decoder."""
        lines = []
        for number, (name, maps) in enumerate(zip(self.model.encoder.cell.states, self.model.bridge.maps, strict=True)):
            froms = [f"{p.name}.{p.name}_{name}" for p in read]
            if self.model.bridge.clocks[number]:
                lines += [f"  {p.state(name)} = {froms[0]};" for parts in write for p in parts]
                continue
            size = self._units(read[0], name)
            if not isinstance(maps, nn.ModuleList):
                ends = [p.state(name) for parts in write for p in parts]
                lines += [
                    f"  for (k = 0; k < {size}; k++) {end}[k] = {begin}[k];" for begin, end in zip(froms, ends, strict=True)
                ]
                continue
            lines += [
                f"  for (k = 0; k < {size}; k++) flat[{place * size} + k] = {begin}[k];" for place, begin in enumerate(froms)
            ]
            for j, (linear, parts) in enumerate(zip(maps, write, strict=True)):
                assert isinstance(linear, nn.Linear)
                lines += self.linear(f"bridge_{name}{j}", linear, "flat", "bridged")
                for place, p in enumerate(parts):
                    own = self._units(p, name)
                    lines += [f"  for (k = 0; k < {own}; k++) {p.state(name)}[k] = bridged[{place * own} + k];"]
        return lines

    def _units(self, part: _Part, state: str) -> int:
        number = part.layer.cell.states.index(state)
        states = part.layer.initial_state(1)
        return int((states if isinstance(states, tuple) else (states,))[number].shape[-1])

    def token(self, write: list[list[_Part]]) -> str:
        """Return the function that takes the token written last and gives the scores of the next."""
        m = self.model
        embedding = self.dense("model_embedding", m.embedding.weight)
        inputs, top = m.decoder.input_size, m.decoder.output_size
        arrays = [f"  float e[{inputs}];"]
        lines = [f"  for (k = 0; k < {inputs}; k++) e[k] = {embedding.number('token', inputs)};"]
        at, h = "e", ""
        for part in write[0]:
            h = f"{part.name}_h"
            arrays.append(f"  float {h}[{top}];")
            lines.append(f"  {part.name}_step(&s->{part.name}, {at}, {h});")
            at = h
        if m.attention is not None:
            seen = m.encoder.output_size * m.encoder.directions
            arrays.append(f"  float both[{max(top, m.upper.output_size if m.upper else 0) + seen}], context[{seen}];")
            lines += self.attention(m.attention, h, top, seen)
            for part in write[1] if m.upper is not None else ():
                if part is write[1][0]:
                    lines += self._joined(h, top, seen)
                    at = "both"
                h, top = f"{part.name}_h", part.layer.output_size
                arrays.append(f"  float {h}[{top}];")
                lines.append(f"  {part.name}_step(&s->{part.name}, {at}, {h});")
                at = h
            lines += self._joined(h, top, seen)
            h = "both"
        if m.readout is not None:
            top = m.readout.out_features
            arrays.append(f"  float readout[{top}];")
            lines += self.linear("model_readout", m.readout, h, "readout")
            if m.attention is not None:
                lines.append(f"  for (k = 0; k < {top}; k++) readout[k] = tanhf(readout[k]);")
            h = "readout"
        output = embedding if m.output.weight is None else self.dense("model_output", m.output.weight)
        self.constants.append(vector("model_output_bias", numbers(m.output.bias)))
        lines += ["  for (k = 0; k < MODEL_VOCABULARY; k++) logits[k] = model_output_bias[k];"]
        lines += [f"  {output.add('logits', 0, h, top)}"]
        said = "/* Writes a token, MODEL_END first; logits[MODEL_VOCABULARY] are the scores of the next. */"
        signature = "void model_token(model_state *s, int token, float *logits)"
        return "\n".join([said, f"{signature};", f"{signature} {{", *arrays, "  int k;", *lines, "}", ""])

    def _joined(self, h: str, size: int, seen: int) -> list[str]:
        return [
            f"  for (k = 0; k < {size}; k++) both[k] = {h}[k];",
            f"  for (k = 0; k < {seen}; k++) both[{size} + k] = context[k];",
        ]

    def attention(self, attention: Attention, h: str, size: int, seen: int) -> list[str]:
        """Return the lines that compute the context, the encoder's outputs weighted by the fit of their keys to the query."""
        lines = ["  {", "    float most = -1e30f, sum = 0.0f, scores[MODEL_LONGEST];"]
        if attention.query is None or attention.score is None:
            score = f"for (k = 0; k < {size}; k++) score += {h}[k] * s->keys[t][k];"
        else:
            lines.append(f"    float query[{size}];")
            self.constants.append(vector("attention_score", numbers(attention.score.weight)))
            score = f"for (k = 0; k < {size}; k++) score += attention_score[k] * tanhf(query[k] + s->keys[t][k]);"
        lines.append("    int t;")
        if attention.query is not None:
            lines += [f"  {line}" for line in self.linear("attention_query", attention.query, h, "query")]
        lines += [
            "    for (t = 0; t < s->count; t++) {",
            "      float score = 0.0f;",
            f"      {score}",
            "      scores[t] = score;",
            "      if (score > most) most = score;",
            "    }",
            "    for (t = 0; t < s->count; t++) sum += scores[t] = expf(scores[t] - most);",
            f"    for (k = 0; k < {seen}; k++) context[k] = 0.0f;",
            "    for (t = 0; t < s->count; t++)",
            f"      for (k = 0; k < {seen}; k++) context[k] += scores[t] / sum * s->outputs[t][k];",
            "  }",
        ]
        return lines


def _blocks(x: str, steps: int, size: int) -> list[str]:
    """Return the lines that join so many rows of an array to one, filled up with zeros, each in the place of the first."""
    from_row = f"t * {steps} + j < count ? {x}[t * {steps} + j][k] : 0.0f"
    return [
        f"  for (t = 0; t * {steps} < count; t++)",
        f"    for (j = 0; j < {steps}; j++)",
        f"      for (k = 0; k < {size}; k++) {x}[t][j * {size} + k] = {from_row};",
        f"  count = (count + {steps - 1}) / {steps};",
    ]
