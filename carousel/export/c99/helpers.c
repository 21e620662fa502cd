/* logistic */
static float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }
/* maximum */
static float maximum(float a, float b) { return a > b || a != a ? a : b; }
/* minimum */
static float minimum(float a, float b) { return a < b || a != a ? a : b; }
/* softplus */
static float softplus(float x) { return (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x))); }
/* silu */
static float silu(float x) {
  float e = expf(-fabsf(x));
  return x * ((x < 0.0f ? e : 1.0f) / (1.0f + e));
}
/* gelu */
static float gelu(float x) { return x * (0.5f * erfcf(x * -0.70710678f)); }
/* gelu_tanh */
static float gelu_tanh(float x) {
  float u = 1.5957691f * (x + 0.044715f * (x * x * x)), e = expf(-fabsf(u));
  return x * ((u < 0.0f ? e : 1.0f) / (1.0f + e));
}
/* elu */
static float elu(float x) { return x < 0.0f ? expm1f(x) : x; }
/* softsign */
static float softsign(float x) { return x / (1.0f + fabsf(x)); }
/* clip */
static float clip(float x, float low, float high) { return minimum(maximum(x, low), high); }
/* hard_sigmoid */
static float hard_sigmoid(float x) { return clip(x + 3.0f, 0.0f, 6.0f) / 6.0f; }
/* hard_tanh */
static float hard_tanh(float x) { return clip(x, -1.0f, 1.0f); }
/* sign */
static float sign(float x) { return (float)((x > 0.0f) - (x < 0.0f)); }
/* modulo */
static float modulo(float a, float b) {
  float m = fmodf(a, b);
  return m != 0.0f && (m < 0.0f) != (b < 0.0f) ? m + b : m;
}
/* held */
static float held(float x, float at) { return at == at ? at : x; }
/* total */
static float total(const float *x, int n) {
  float sum = 0.0f, added = 0.0f; /* by rounding, so far */
  int k;
  for (k = 0; k < n; k++) {
    const float y = x[k] - added, next = sum + y;
    added = (next - sum) - y;
    if (added != added) added = 0.0f; /* the sum is infinite */
    sum = next;
  }
  return sum;
}
/* largest */
static float largest(const float *x, int n) {
  float found = x[0];
  int k;
  for (k = 1; k < n; k++) found = found > x[k] || found != found ? found : x[k];
  return found;
}
/* DOT */
/* Eight sums, which a compiler can put into one vector without changing the order of additions. */
#define DOT(name, type, number) \
  static float name(const type *w, const float *x, int n) { \
    float s[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}; \
    int k = 0, j; \
    for (; k + 8 <= n; k += 8) \
      for (j = 0; j < 8; j++) s[j] += number(w[k + j]) * x[k + j]; \
    for (; k < n; k++) s[0] += number(w[k]) * x[k]; \
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])); \
  }
/* dot */
DOT(dot, float, (float))
/* widened */
static float widened(unsigned short half) {
  unsigned int bits = (unsigned int)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
/* dot_bfloat16 */
DOT(dot_bfloat16, unsigned short, widened)
/* dot_int8 */
DOT(dot_int8, signed char, (float))
