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
/* wide */
/* Of sums over units, and numbers computed from them: a normalised cell divides by what is left of them. Small processors have no
   arithmetic in double precision. */
#if defined(MODEL_SMALL) || (defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M')
typedef float wide;
#else
typedef double wide;
#endif
/* total */
static wide total(const float *x, int n) {
  wide sum = 0, added = 0; /* by rounding, so far */
  int k;
  for (k = 0; k < n; k++) {
    const wide y = x[k] - added, next = sum + y;
    added = (next - sum) - y;
    if (added != added) added = 0; /* the sum is infinite */
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
/* widened */
static float widened(unsigned short upper) {
  union { unsigned int bits; float x; } number;
  number.bits = (unsigned int)upper << 16;
  return number.x;
}
/* ADD */
/* Adds to y the rows of w, of so many columns, times the n numbers at x. A compiler can put the sums of a row into vectors without
   changing the order of additions; small processors have no room for that many. */
#if defined(MODEL_SMALL) || (defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M')
#define ADD(name, type, number) \
  static void name(float *y, const type *w, int rows, int columns, const float *x, int n) { \
    int r, k; \
    for (r = 0; r < rows; r++, w += columns) { \
      float s = 0.0f, t = 0.0f; \
      for (k = 0; k + 2 <= n; k += 2) s += number(w[k]) * x[k], t += number(w[k + 1]) * x[k + 1]; \
      if (k < n) s += number(w[k]) * x[k]; \
      y[r] += s + t; \
    } \
  }
#else
#define ADD(name, type, number) \
  static void name(float *restrict y, const type *restrict w, int rows, int columns, const float *restrict x, int n) { \
    int r, k, j; \
    for (r = 0; r < rows; r++, w += columns) { \
      float s[32] = {0.0f}; \
      for (k = 0; k + 32 <= n; k += 32) \
        for (j = 0; j < 32; j++) s[j] += number(w[k + j]) * x[k + j]; \
      for (; k < n; k++) s[0] += number(w[k]) * x[k]; \
      for (j = 0; j < 16; j++) s[j] += s[j + 16]; \
      for (j = 0; j < 8; j++) s[j] += s[j + 8]; \
      for (j = 0; j < 4; j++) s[j] += s[j + 4]; \
      y[r] += (s[0] + s[2]) + (s[1] + s[3]); \
    } \
  }
#endif
/* add */
ADD(add, float, (float))
/* add_bfloat16 */
ADD(add_bfloat16, unsigned short, widened)
/* add_int8 */
/* Adds to y the rows of w, of so many columns, times the n numbers at x, rounded to 16 bits some at a time, so that sums of whole
   numbers are exact in 32 bits: 512 * 127 * 32767 < 2^31. */
static void add_int8(float *y, const signed char *w, const float *scale, int rows, int columns, const float *x, int n) {
  short q[512];
  int from, r, k;
  for (from = 0; from < n; from += 512, x += 512, w += 512) {
    const int count = n - from < 512 ? n - from : 512;
    float most = 0.0f, wrong = 0.0f, unit, by;
    for (k = 0; k < count; k++) {
      const float size = x[k] < 0.0f ? -x[k] : x[k];
      wrong += x[k] * 0.0f; /* not a number, where x is none or infinite */
      most = size > most ? size : most;
    }
    unit = most / 32767.0f + wrong;
    by = wrong == 0.0f && most > 1e-30f ? 32767.0f / most : 0.0f;
    for (k = 0; k < count; k++) {
      const float whole = by > 0.0f ? x[k] * by : 0.0f;
      q[k] = (short)(whole < 0.0f ? whole - 0.5f : whole + 0.5f);
    }
    for (r = 0; r < rows; r += 4) { /* four rows at once; the last again where there are fewer */
      const signed char *a = w + (long)r * columns, *b = a + (r + 1 < rows ? columns : 0);
      const signed char *c = b + (r + 2 < rows ? columns : 0), *d = c + (r + 3 < rows ? columns : 0);
      int s = 0, t = 0, u = 0, v = 0;
      for (k = 0; k < count; k++) {
        s += a[k] * q[k];
        t += b[k] * q[k];
        u += c[k] * q[k];
        v += d[k] * q[k];
      }
      y[r] += (float)s * (scale[r] * unit);
      if (r + 1 < rows) y[r + 1] += (float)t * (scale[r + 1] * unit);
      if (r + 2 < rows) y[r + 2] += (float)u * (scale[r + 2] * unit);
      if (r + 3 < rows) y[r + 3] += (float)v * (scale[r + 3] * unit);
    }
  }
}
