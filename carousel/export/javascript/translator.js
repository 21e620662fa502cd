// A translator: it reads a sentence, writes it in the other language, and shows what happens inside.

const MORE = 20; // words that a watched translation may have beyond twice the sentence's

export class Translator {
  // network: its layers, and linear maps as [weight, bias]. about: { source, target (vocabularies), names: { name: units }, count,
  // directions } of the model.
  constructor(network, { source, target, names, count, directions }) {
    const each = (layers) => layers.map((layer) => new Layers([layer]));
    Object.assign(this, { network, names, count, directions, vocabulary: new Vocabulary(source), target: new Vocabulary(target) });
    Object.assign(this, { encoder: network.encoder.map(each), decoder: each(network.decoder), upper: each(network.upper) });
  }

  // Reads a sentence, token ids of which the last is its end. saw: is called with a row, a step and what was seen there.
  read(ids, clamps = [], saw = null) {
    for (const clamp of clamps) check(this, clamp);
    for (const id of ids) checkToken(this.vocabulary, id);
    if (!ids.length) throw new Error("a sentence has a token at least, its end");
    let inputs = ids.map((id) => this.embedded("source", id));
    let tokens = 1; // that are one step
    const ends = [];
    for (const [k, parts] of this.encoder.entries()) {
      inputs = blocks(inputs, this.network.subsample[k]);
      tokens *= this.network.subsample[k];
      const last = (at) => Math.min((at + 1) * tokens, ids.length) - 1;
      const outputs = parts.map((part, backwards) => {
        const states = part.start();
        const found = [];
        for (let n = 0; n < inputs.length; n += 1) {
          const at = backwards ? inputs.length - 1 - n : n;
          found[at] = this.step(part, states, inputs[at], k, at * tokens, clamps, last(at)).slice();
          saw?.(k * this.directions + backwards, last(at), part, states);
        }
        ends.push(states[0].state);
        return found;
      });
      inputs = inputs.map((_, n) => joined(outputs.map((output) => output[n])));
    }
    return new Writer(this, ends, inputs, { steps: ids.length, tokens }, clamps, saw);
  }

  step(part, states, x, layer, at, clamps, last = at) {
    hold(clamps, at, layer, (name) => part.held(states, 0, name), last);
    return part.step(states, x);
  }

  embedded(side, id) {
    const { size } = this.network.embedding;
    return this.network.embedding[side].subarray(id * size, (id + 1) * size);
  }

  // Writes the likeliest token each time, at most so many; told of each.
  greedily(writer, most, told) {
    const { end, unknown } = this.target;
    let token = end;
    for (let n = 0; n < most; n += 1) {
      const logits = writer.write(token);
      const next = drawn(logits, unknown, { temperature: 0, topK: 0 });
      told(token, next, logits);
      if (next === end) return;
      token = next;
    }
  }

  // The translation of a line, without line breaks.
  translate(line) {
    const ids = this.vocabulary.encode(line);
    if (!stripped(line)) return "";
    const written = [];
    this.greedily(this.read(ids), 2 * ids.length + 10, (_, next) => written.push(next));
    return this.text(written).replace(/[\r\n]/g, " ");
  }

  text(written) {
    return this.target.decode(written.at(-1) === this.target.end ? written.slice(0, -1) : written);
  }

  // Every quantity of the cell at every word that is read and then written, as the library's watch_translation tells it.
  watch(text, { clamps = [], predictions = 8 } = {}) {
    const read = this.vocabulary.read(text).slice(1);
    if (/[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/.test(stripped(text))) throw new Error("give one sentence, on one line");
    const names = Object.keys(this.names);
    const rows = [...Array(this.count * this.directions).keys()];
    const values = Object.fromEntries(names.map((name) => [name, rows.map(() => [])]));
    const see = (row, at, part, states) => {
      for (const name of names) values[name][row][at] = Array.from(part.seen(states, 0, name));
    };
    const source = read.length + 1;
    const found = { words: [...read.map(({ word }) => word), this.vocabulary.token(this.vocabulary.end)] };
    Object.assign(found, { known: [...read.map(({ known }) => known), true], spans: read.map(({ span }) => span) });
    Object.assign(found, { surprisal: Array(source).fill(null), values, predictions: Array.from({ length: source }, () => []) });
    Object.assign(found, { source, translation: "", written: [], attention: this.network.attention ? [] : null });
    const writer = this.read([...read.map(({ id }) => id), this.vocabulary.end], clamps, see);
    const written = [];
    let bits = null;
    this.greedily(writer, 2 * source + MORE - 1, (token, next, logits) => {
      const cost = logSum(logits);
      found.words.push(this.target.token(token));
      found.known.push(token !== this.target.unknown);
      found.surprisal.push(bits);
      found.predictions.push(likeliest(logits, predictions).map((n) => [this.target.token(n), Math.exp(logits[n] - cost)]));
      found.written.push(this.target.token(next));
      found.attention?.push(writer.looks());
      written.push(next);
      bits = (cost - logits[next]) / Math.LN2;
    });
    for (const name of names)
      for (const row of values[name])
        for (let at = 0; at < found.words.length; at += 1) row[at] ??= Array(this.names[name]).fill(null);
    found.translation = stripped(this.text(written));
    return found;
  }
}

// A sentence that was read, and what is being written: the decoder's states, and where its last step looked.
class Writer {
  // steps: that have been taken, the tokens that were read; tokens: of them that are one output.
  constructor(model, ends, outputs, { steps, tokens }, clamps, saw) {
    const { attention } = model.network;
    const parts = [...model.decoder, ...model.upper];
    Object.assign(this, { model, outputs, clamps, saw, steps, source: steps, tokens, weights: null, states: parts.map((part) => part.start()) });
    this.keys = attention?.key ? outputs.map((output) => product(attention.key, output)) : outputs;
    for (const [name, maps] of Object.entries(model.network.bridge)) this.cross(name, maps, ends);
  }

  // Begins with the encoder's last states: through linear maps of all of them, as they are, or, a step number, all from one.
  cross(name, maps, ends) {
    const states = this.states.map(([{ state }]) => state);
    if (maps === null && typeof ends[0][name] === "number") for (const state of states) state[name] = ends[0][name];
    else if (maps === null) for (const [k, state] of states.entries()) state[name].set(ends[k][name]);
    else {
      const flat = joined(ends.map((end) => end[name]));
      const bridged = joined(maps.map((map) => product(map, flat)));
      let at = 0;
      for (const state of states) state[name].set(bridged.subarray(at, (at += state[name].length)));
    }
  }

  // Writes a token, the end of a line first, and gives the scores of the next: an array of its own.
  write(id) {
    const { network, decoder, upper, target } = this.model;
    checkToken(target, id);
    let h = this.through(decoder, 0, this.model.embedded("target", id));
    if (network.attention) {
      const context = this.looked(h);
      if (upper.length) h = this.through(upper, decoder.length, joined([h, context]));
      h = joined([h, context]);
    }
    this.steps += 1;
    if (network.readout) h = product(network.readout, h);
    if (network.readout && network.attention) h = h.map(Math.tanh);
    return product(network.output, h);
  }

  through(parts, first, x) {
    for (const [k, part] of parts.entries()) {
      const [layer, states] = [first + k, this.states[first + k]];
      x = this.model.step(part, states, x, layer, this.steps, this.clamps);
      this.saw?.(layer * this.model.directions, this.steps, part, states);
    }
    return x;
  }

  // Where the last step looked, by tokens: an output stands at the last of its own.
  looks() {
    const found = Array(this.source).fill(0);
    for (const [n, weight] of this.weights.entries()) found[Math.min((n + 1) * this.tokens, this.source) - 1] = weight;
    return found;
  }

  // The encoder's outputs, weighed by how well their keys fit.
  looked(h) {
    const { query, score } = this.model.network.attention;
    const asked = query ? product(query, h) : h;
    const fit = (key) => (score ? dot(score, 0, key.map((x, k) => Math.tanh(asked[k] + x)), 0, key.length) : dot(key, 0, asked, 0, key.length));
    const scores = this.keys.map(fit);
    const cost = logSum(scores);
    this.weights = Float32Array.from(scores, (x) => Math.exp(x - cost));
    const context = new Float64Array(this.outputs[0].length);
    for (const [n, output] of this.outputs.entries()) for (const [k, x] of output.entries()) context[k] += this.weights[n] * x;
    return Float32Array.from(context);
  }
}

// Arrays as one.
function joined(arrays) {
  const found = new Float32Array(arrays.reduce((n, each) => n + each.length, 0));
  let at = 0;
  for (const each of arrays) {
    found.set(each, at);
    at += each.length;
  }
  return found;
}

// Each so many arrays as one, filled up with zeros.
function blocks(arrays, count) {
  if (count === 1) return arrays;
  const zeros = new Float32Array(arrays[0].length);
  const block = (at) => joined(Array.from({ length: count }, (_, n) => arrays[at * count + n] ?? zeros));
  return Array.from({ length: Math.ceil(arrays.length / count) }, (_, at) => block(at));
}

// W x + b; b may be null.
function product([weight, bias], x) {
  const found = new Float32Array(weight.length / x.length);
  for (let k = 0; k < found.length; k += 1) found[k] = (bias ? bias[k] : 0) + dot(weight, k * x.length, x, 0, x.length);
  return found;
}
