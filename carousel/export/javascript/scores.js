// The scores of the next token, and what is drawn by them.

// log Σ exp
function logSum(logits) {
  let [most, sum] = [-Infinity, 0];
  for (const x of logits) if (x > most) most = x;
  for (const x of logits) sum += Math.exp(x - most);
  return most + Math.log(sum);
}

// The places of the n largest, the largest first.
function likeliest(logits, n) {
  const found = [];
  for (let k = 0; k < logits.length; k += 1) {
    if (found.length === n && logits[k] <= logits[found[n - 1]]) continue;
    let at = found.length;
    while (at > 0 && logits[found[at - 1]] < logits[k]) at -= 1;
    found.splice(at, 0, k);
    if (found.length > n) found.pop();
  }
  return found;
}

// Draws a token, never the unknown one; temperature 0 takes the likeliest.
function drawn(logits, unknown, { temperature, topK }, uniform) {
  const free = [...logits.keys()].filter((k) => k !== unknown);
  const best = free.reduce((a, b) => (logits[b] > logits[a] ? b : a));
  if (Number.isNaN(logits[best])) throw new Error("the model's scores are not numbers; is a clamp too large?");
  if (temperature < 1e-6) return best;
  const least = topK > 0 && topK < free.length ? logits[likeliest(logits.map((x, k) => (k === unknown ? -Infinity : x)), topK)[topK - 1]] : -Infinity;
  const kept = free.filter((k) => logits[k] >= least);
  const chances = kept.map((k) => Math.exp((logits[k] - logits[best]) / temperature));
  let at = uniform() * chances.reduce((a, b) => a + b, 0);
  for (const [k, chance] of chances.entries()) {
    at -= chance;
    if (at < 0) return kept[k];
  }
  return best;
}

// Numbers from 0 to 1, never 1, those of the program in C: Marsaglia's xorshift, scrambled by Vigna.
function uniformFrom(seed) {
  const word = (x) => BigInt.asUintN(64, x);
  let bits = word((BigInt(seed) + 1n) * 0x9e3779b97f4a7c15n) || 1n;
  return () => {
    bits ^= bits >> 12n;
    bits ^= word(bits << 25n);
    bits ^= bits >> 27n;
    return Number(word(bits * 2685821657736338717n) >> 11n) / 2 ** 53;
  };
}
