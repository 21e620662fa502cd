// Layers that take steps. A layer says its states, the arrays of its step, what is seen of it, and the step itself.

export class Layers {
  // residual: each layer above the first adds its input to its output.
  constructor(layers, residual = false) {
    Object.assign(this, { layers, residual });
  }

  // New states, at their first values, and nothing held.
  start() {
    const states = this.layers.map(({ states, work, seen, outputs }) => ({
      state: arrays(states),
      work: arrays(work),
      held: Object.fromEntries(Object.entries(seen).map(([name, n]) => [name, new Float32Array(n).fill(NaN)])),
      y: new Float32Array(outputs),
    }));
    this.reset(states);
    return states;
  }

  // The states at their first values; what is held stays so.
  reset(states) {
    for (const [k, { first }] of this.layers.entries()) {
      for (const [name, value] of Object.entries(states[k].state)) {
        if (typeof value === "number") states[k].state[name] = 0;
        else if (first[name]) value.set(first[name]);
        else value.fill(0);
      }
    }
  }

  copy(states) {
    return structuredClone(states);
  }

  // The output, valid until the next step.
  step(states, x, ...inputs) {
    for (const [k, layer] of this.layers.entries()) {
      const { y } = states[k];
      layer.step(states[k], x, ...inputs, y);
      for (let u = 0; this.residual && k > 0 && u < y.length; u += 1) y[u] += x[u];
      x = y;
    }
    return x;
  }

  // A quantity's units as the last step computed them, valid until the next.
  seen(states, layer, name) {
    return states[layer].work[`${name}_t`];
  }

  // The values at which its units are held from now on; NaN: free.
  held(states, layer, name) {
    return states[layer].held[name];
  }
}

const arrays = (sizes) => Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, n === null ? 0 : new Float32Array(n)]));

// Layers between an embedding and an output layer.
export class TokenLayers extends Layers {
  constructor(layers, { embedding, output, bias, inputs, residual = false }) {
    super(layers, residual);
    Object.assign(this, { embedding, output, bias, inputs });
  }

  // The scores of the next token, valid until the next step.
  token(states, id) {
    const y = this.step(states, this.embedding.subarray(id * this.inputs, (id + 1) * this.inputs));
    this.logits ??= new Float32Array(this.bias.length);
    for (let k = 0; k < this.bias.length; k += 1) this.logits[k] = this.bias[k] + dot(this.output, k * y.length, y, 0, y.length);
    return this.logits;
  }
}
