// A language model: it reads tokens, tells the likeliest next ones, writes, and shows what happens inside.

export class LanguageModel {
  // layers: what takes the steps. about: { vocabulary, sentences, names: { name: units }, count } of the model, and where layers
  // differ in size, sizes: the names of each.
  constructor(layers, about) {
    Object.assign(this, { layers, vocabulary: new Vocabulary(about.vocabulary), sentences: about.sentences });
    Object.assign(this, { names: about.names, count: about.count, sizes: about.sizes });
  }

  // A reader with states of its own, before the first token.
  reader(clamps = []) {
    return new Reader(this, clamps);
  }

  // A reader that has read a text, after the end of line that every text begins with.
  after(text, clamps = []) {
    const reader = this.reader(clamps);
    reader.read(this.vocabulary.end);
    for (const id of text.split("\n").flatMap((line) => this.vocabulary.encode(line)).slice(0, -1)) reader.read(id);
    return reader;
  }

  // Text that goes on from a prompt, piece by piece.
  *pieces(prompt = "", { count = 100, temperature = 1, topK = 0, seed = null, stopAtEnd = false, clamps = [] } = {}) {
    if (!(temperature >= 0 && temperature < Infinity)) throw new Error(`temperature must be at least 0, and finite, not ${temperature}`);
    const { vocabulary } = this;
    const reader = this.after(prompt, clamps);
    const uniform = uniformFrom(seed ?? Math.floor(Math.random() * 2 ** 53));
    let pending = []; // of byte pairs, which may break a character apart
    let last = reader.last;
    for (let k = 0; k < count; k += 1) {
      const token = drawn(reader.logits, vocabulary.unknown, { temperature, topK }, uniform);
      pending.push(token);
      const text = vocabulary.decode(pending);
      if (!text.endsWith("\ufffd") || pending.length > 4) {
        yield (vocabulary.kind === "word" && last !== vocabulary.end && token !== vocabulary.end ? " " : "") + text;
        pending = [];
      }
      last = token;
      if (stopAtEnd && token === vocabulary.end) return;
      reader.read(token);
    }
  }

  generate(prompt, how) {
    return [...this.pieces(prompt, how)].join("");
  }

  // Every quantity of the cell at every word of a text: values[name][layer][word][unit]; and after each word the likeliest next.
  watch(text, { clamps = [], predictions = 8 } = {}) {
    const read = this.vocabulary.read(text);
    const reader = this.reader(clamps);
    const layers = [...Array(this.count).keys()];
    const names = Object.keys(this.names);
    const values = Object.fromEntries(names.map((name) => [name, layers.map(() => [])]));
    const found = { words: [], known: [], spans: [], surprisal: [], values, predictions: [] };
    let bits = null;
    for (const [k, { word, id, known, span }] of read.entries()) {
      found.words.push(word);
      found.known.push(known);
      found.spans.push(span);
      found.surprisal.push(bits);
      const logits = reader.read(id);
      for (const name of names) for (const layer of layers) values[name][layer].push(Array.from(reader.values(name, layer)));
      const cost = logSum(logits);
      if (k + 1 < read.length) bits = (cost - logits[read[k + 1].id]) / Math.LN2;
      found.predictions.push(likeliest(logits, predictions).map((n) => [this.vocabulary.token(n), Math.exp(logits[n] - cost)]));
    }
    return found;
  }
}

// One text being read: its states, what the last step computed, and what is held.
class Reader {
  constructor(model, clamps) {
    Object.assign(this, { model, clamps, states: model.layers.start(), steps: 0, last: model.vocabulary.end, logits: null });
    for (const clamp of clamps) check(model, clamp);
  }

  // Reads a token, and gives the scores of the next: an array of its own.
  read(id) {
    const { layers, vocabulary, sentences, count } = this.model;
    checkToken(vocabulary, id);
    for (let k = 0; this.clamps.length && k < count; k += 1) hold(this.clamps, this.steps, k, (name) => layers.held(this.states, k, name));
    if (sentences && id === vocabulary.end) layers.reset(this.states);
    this.logits = layers.token(this.states, id).slice();
    this.steps += 1;
    this.last = id;
    return this.logits;
  }

  // A quantity's units at the token that was read last.
  values(name, layer = this.model.count - 1) {
    if (!(name in this.model.names)) throw new Error(`there is nothing called ${name}; there is ${Object.keys(this.model.names).join(", ")}`);
    return this.model.layers.seen(this.states, layer, name).slice();
  }

  copy() {
    const made = Object.assign(Object.create(Reader.prototype), this);
    made.states = this.model.layers.copy(this.states);
    return made;
  }
}
