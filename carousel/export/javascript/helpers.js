/* logistic */
const logistic = (x) => 1 / (1 + Math.exp(-x));
/* maximum */
const maximum = (a, b) => (a > b || a !== a ? a : b);
/* minimum */
const minimum = (a, b) => (a < b || a !== a ? a : b);
/* softplus */
const softplus = (x) => (x < 0 ? 0 : x) + Math.log1p(Math.exp(-Math.abs(x)));
/* silu */
function silu(x) {
  const e = Math.exp(-Math.abs(x));
  return x * ((x < 0 ? e : 1) / (1 + e));
}
/* erfc */
// A series of Chebyshev's for double precision (Press et al. 2007, 6.2.2).
function erfc(x) {
  const terms = [
    -2.8e-17, 1.21e-16, -9.4e-17, -1.523e-15, 7.106e-15, 3.81e-16, -1.12708e-13, 3.13092e-13, 8.94487e-13, -6.886027e-12,
    2.394038e-12, 9.6467911e-11, -2.27365122e-10, -9.91364156e-10, 5.059343495e-9, 6.529054439e-9, -8.5238095915e-8,
    1.5626441722e-8, 1.30365583558e-6, -1.624290004647e-6, -2.0278578112534e-5, 4.2523324806907e-5, 3.66839497852761e-4,
    -9.46595344482036e-4, -9.561514786808631e-3, 1.9476473204185836e-2, 6.4196979235649026e-1,
  ];
  const z = Math.abs(x);
  const t = 2 / (2 + z);
  let [d, before] = [0, 0];
  for (const term of terms) [d, before] = [(4 * t - 2) * d - before + term, d];
  const found = t * Math.exp(-z * z + 0.5 * (-1.3026537197817094 + (4 * t - 2) * d) - before);
  return x < 0 ? 2 - found : found;
}
/* erf */
const erf = (x) => 1 - erfc(x);
/* gelu */
const gelu = (x) => x * (0.5 * erfc(x * -0.7071067811865476));
/* gelu_tanh */
function gelu_tanh(x) {
  const u = 1.5957691216057308 * (x + 0.044715 * (x * x * x));
  const e = Math.exp(-Math.abs(u));
  return x * ((u < 0 ? e : 1) / (1 + e));
}
/* elu */
const elu = (x) => (x < 0 ? Math.expm1(x) : x);
/* softsign */
const softsign = (x) => x / (1 + Math.abs(x));
/* clip */
const clip = (x, low, high) => minimum(maximum(x, low), high);
/* hard_sigmoid */
const hard_sigmoid = (x) => clip(x + 3, 0, 6) / 6;
/* hard_tanh */
const hard_tanh = (x) => clip(x, -1, 1);
/* sign */
const sign = (x) => (x > 0) - (x < 0);
/* modulo */
function modulo(a, b) {
  const m = a % b;
  return m !== 0 && m < 0 !== b < 0 ? m + b : m;
}
/* held */
const held = (x, at) => (at === at ? at : x);
/* total */
function total(x, n, from = 0) {
  let sum = 0;
  for (let k = from; k < from + n; k += 1) sum += x[k];
  return sum;
}
/* largest */
function largest(x, n, from = 0) {
  let found = x[from];
  for (let k = from + 1; k < from + n; k += 1) found = found > x[k] || found !== found ? found : x[k];
  return found;
}
/* dot */
// Four sums, which a processor adds side by side.
function dot(w, at, x, from, n) {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let k = 0;
  for (; k + 4 <= n; k += 4) {
    a += w[at + k] * x[from + k];
    b += w[at + k + 1] * x[from + k + 1];
    c += w[at + k + 2] * x[from + k + 2];
    d += w[at + k + 3] * x[from + k + 3];
  }
  for (; k < n; k += 1) a += w[at + k] * x[from + k];
  return a + b + (c + d);
}
