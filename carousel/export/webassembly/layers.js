// Layers that WebAssembly takes the steps of.

class WasmLayers {
  // exports: of the module. seen: of each layer, the units of what can be read and held, in the module's order. inputs: the
  // lengths of a step's inputs, null of a number. outputs: the length of the output. vocabulary: the number of tokens.
  constructor(exports, { seen, inputs, outputs, vocabulary }) {
    Object.assign(this, { exports, outputs, vocabulary, top: exports.heap(), spare: [] });
    this.places = seen.map((units) => ({ ...units }));
    let number = 0;
    for (const [layer, units] of seen.entries())
      for (const name of Object.keys(units)) this.places[layer][name] = { number: number++, length: units[name] };
    this.inputs = inputs.map((length) => (length === null ? null : { at: this.room(4 * length), length }));
    this.y = this.room(4 * outputs);
    this.logits = this.room(4 * vocabulary);
    this.free = new FinalizationRegistry((at) => this.spare.push(at));
  }

  // The address of so many bytes.
  room(bytes) {
    const at = (this.top + 15) & ~15;
    this.top = at + bytes;
    const short = this.top - this.exports.memory.buffer.byteLength;
    if (short > 0) this.exports.memory.grow(Math.ceil(short / 65536));
    return at;
  }

  view(at, length) {
    return new Float32Array(this.exports.memory.buffer, at, length);
  }

  // New states, at their first values, and nothing held.
  start() {
    const states = { at: this.spare.pop() ?? this.room(this.exports.size()) };
    this.free.register(states, states.at);
    this.exports.init(states.at);
    this.exports.release(states.at);
    return states;
  }

  // The states at their first values; what is held stays so.
  reset(states) {
    this.exports.init(states.at);
  }

  copy(states) {
    const made = this.start();
    new Uint8Array(this.exports.memory.buffer).copyWithin(made.at, states.at, states.at + this.exports.size());
    return made;
  }

  // The output, valid until the next step.
  step(states, ...inputs) {
    const given = this.inputs.map((room, k) => {
      if (room === null) return inputs[k];
      this.view(room.at, room.length).set(inputs[k]);
      return room.at;
    });
    this.exports.step(states.at, ...given, this.y);
    return this.view(this.y, this.outputs);
  }

  // The scores of the next token, valid until the next step.
  token(states, id) {
    this.exports.token(states.at, id, this.logits);
    return this.view(this.logits, this.vocabulary);
  }

  // A quantity's units as the last step computed them, valid until the next.
  seen(states, layer, name) {
    const { number, length } = this.places[layer][name];
    return this.view(this.exports.seen(states.at, number), length);
  }

  // The values at which its units are held from now on; NaN: free. Valid until the next call.
  held(states, layer, name) {
    const { number, length } = this.places[layer][name];
    return this.view(this.exports.held(states.at, number), length);
  }
}

// The exports of a module: from its address, its bytes, or compiled.
async function instantiated(source) {
  if (source instanceof WebAssembly.Module) return new WebAssembly.Instance(source).exports;
  let bytes = source;
  if (typeof source === "string" || source instanceof URL) {
    const isFile = String(source).startsWith("file:") && globalThis.process?.versions?.node;
    bytes = isFile ? await (await import("node:fs/promises")).readFile(new URL(source)) : await (await fetch(source)).arrayBuffer();
  }
  return (await WebAssembly.instantiate(bytes)).instance.exports;
}

const beside = () => new URL(import.meta.url.replace(/\.[cm]?js(?=$|[?#])/, ".wasm"));
