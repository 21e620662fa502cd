// Toy tasks for a cell of one unit, and its training: one number a step in, one number after the last step out.

// The names are those of carousel tasks; each is its problem with one input.
export const TASKS = {
  "two-sequences": {
    says: "The first number is 1 or −1, all others are noise of variance 0.2; after the last, say 1 or 0 for it (experiment 3a, N = 1).",
    draw(random, steps) {
      const first = random.uniform() < 0.5 ? -1 : 1;
      return { e: Array.from({ length: steps }, (_, k) => (k ? Math.sqrt(0.2) * random.normal() : first)), target: first > 0 ? 1 : 0 };
    },
  },
  adding: {
    says: "Two numbers x and y from −1 to 1, all others are 0; after the last, say ½ + (x + y)/4 (experiment 4, without its markers).",
    draw(random, steps) {
      const e = new Array(steps).fill(0);
      const half = Math.max(1, Math.floor(steps / 2));
      const places = [random.below(half), Math.min(half + random.below(steps - half), steps - 1)];
      let target = 0.5;
      for (const at of places) {
        const x = 2 * random.uniform() - 1;
        e[at] += x;
        target += x / 4;
      }
      return { e, target };
    },
  },
  copy: {
    says: "The first number is 1 or −1, all others are blanks, 0; after the last, say it again (copy memory, one letter of two).",
    draw(random, steps) {
      const said = random.uniform() < 0.5 ? -1 : 1;
      return { e: Array.from({ length: steps }, (_, k) => (k ? 0 : said)), target: said };
    },
  },
};

// The same numbers from the same seed (mulberry32).
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  below(count) {
    return Math.floor(this.uniform() * count);
  }

  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
}

// Weights as a layer of one unit draws them, evenly from −1 to 1, but those that begin at a number; then the output's two.
export function firstWeights(initial, seed) {
  const random = new Random(seed);
  const drawn = [...initial, "uniform", 0].map((rule) => {
    const x = 2 * random.uniform() - 1; // also where it is not needed: a weight more moves no other
    return rule === "uniform" ? x : Number(rule);
  });
  return Float64Array.from(drawn);
}

export const OUTPUT = ["out.v", "out.c"]; // v · y + c is the answer

// Half the squared error of the answer to a sequence, and the gradient of that.
export function lossAndGradient(engine, w, { e, target }) {
  const count = w.length - OUTPUT.length;
  const [v, c] = w.subarray(count);
  const cell = w.subarray(0, count);
  const a = engine.forward(cell, e);
  const y = a[engine.names[engine.states[0]]].at(-1);
  const error = v * y + c - target;
  const given = new Float64Array(e.length);
  given[e.length - 1] = error * v;
  const { gradient } = engine.backward(cell, a, given);
  return { loss: (error * error) / 2, gradient: Float64Array.of(...gradient, error * y, error) };
}

const [RATE, MEAN, SQUARE, LEAST] = [0.02, 0.9, 0.999, 1e-8];
export const BATCH = 32; // sequences of an update
const LONGEST = 1; // of a gradient: longer ones are cut

// Training by Adam (Kingma and Ba 2015), whose updates change w in place.
export class Training {
  constructor(engine, w, { task, steps, seed }) {
    Object.assign(this, { engine, w, task: TASKS[task], steps, random: new Random(seed + 1) });
    this.mean = new Float64Array(w.length);
    this.square = new Float64Array(w.length);
    this.losses = [];
  }

  // One update. Throws where the loss is no number any longer.
  update() {
    const { w } = this;
    const sum = new Float64Array(w.length);
    let loss = 0;
    for (let row = 0; row < BATCH; row += 1) {
      const found = lossAndGradient(this.engine, w, this.task.draw(this.random, this.steps));
      loss += found.loss / BATCH;
      for (const [k, x] of found.gradient.entries()) sum[k] += x / BATCH;
    }
    const length = Math.hypot(...sum);
    if (!Number.isFinite(loss) || !Number.isFinite(length)) throw new Error("The loss is no number any longer: the memory or its gradient exploded.");
    this.losses.push(loss);
    const t = this.losses.length;
    for (const [k, x] of sum.entries()) {
      const g = length > LONGEST ? (x * LONGEST) / length : x;
      this.mean[k] = MEAN * this.mean[k] + (1 - MEAN) * g;
      this.square[k] = SQUARE * this.square[k] + (1 - SQUARE) * g * g;
      w[k] -= (RATE * (this.mean[k] / (1 - MEAN ** t))) / (Math.sqrt(this.square[k] / (1 - SQUARE ** t)) + LEAST);
    }
    return loss;
  }
}
