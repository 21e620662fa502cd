/* own_bits */
/* Returns the bits of a number. */
static unsigned int own_bits(float x) {
  union { float x; unsigned int bits; } number;
  number.x = x;
  return number.bits;
}
/* own_number */
/* Returns the number that has these bits. */
static float own_number(unsigned int bits) {
  union { unsigned int bits; float x; } number;
  number.bits = bits;
  return number.x;
}
/* own_infinity */
static float own_infinity(void) { return own_number(0x7f800000u); }
/* own_nan */
static float own_nan(void) { return own_number(0x7fc00000u); }
/* own_fabsf */
static float own_fabsf(float x) { return own_number(own_bits(x) & 0x7fffffffu); }
/* own_whole */
/* Returns x without its fraction, for |x| < 2^31. */
static float own_whole(float x) { return own_fabsf(x) < 8388608.0f ? (float)(long)x : x; }
/* own_floorf */
static float own_floorf(float x) {
  const float whole = own_whole(x);
  return whole > x ? whole - 1.0f : whole;
}
/* own_ceilf */
static float own_ceilf(float x) { return -own_floorf(-x); }
/* own_expf */
/* 2^n * exp(r), |r| <= ln(2) / 2, by Taylor's polynomial. */
static float own_expf(float x) {
  float n, r;
  int k;
  if (x != x) return x;
  if (x > 88.73f) return own_infinity();
  if (x < -104.0f) return 0.0f;
  n = own_floorf(x * 1.44269504f + 0.5f);
  r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  r = 1.0f + (r + r * r * (0.5f + r * (0.166666667f + r * (0.0416666667f + r * (8.33333333e-3f + r * (1.38888889e-3f + r * 1.98412698e-4f))))));
  k = (int)n;
  if (k > 127) return r * 2.0f * own_number((unsigned int)(k - 1 + 127) << 23);
  if (k < -126) return r * own_number((unsigned int)(k + 24 + 127) << 23) * 5.96046448e-8f; /* 2^-24 */
  return r * own_number((unsigned int)(k + 127) << 23);
}
/* own_expm1f */
static float own_expm1f(float x) {
  if (!(own_fabsf(x) < 0.5f)) return own_expf(x) - 1.0f;
  return x + x * x * (0.5f + x * (0.166666667f + x * (0.0416666667f + x * (8.33333333e-3f + x * (1.38888889e-3f + x * (1.98412698e-4f + x * 2.48015873e-5f))))));
}
/* own_tanhf */
static float own_tanhf(float x) {
  const float size = own_fabsf(x);
  float t;
  if (x != x) return x;
  t = size > 9.02f ? 1.0f : own_expm1f(2.0f * size);
  t = size > 9.02f ? t : t / (t + 2.0f);
  return x < 0.0f ? -t : t;
}
/* own_logf */
/* n * ln(2) + log(m), sqrt(1/2) <= m < sqrt(2), by the series of 2 * artanh((m - 1) / (m + 1)). */
static float own_logf(float x) {
  float s, z, f, n = 0.0f;
  unsigned int bits;
  if (x != x || x == own_infinity()) return x;
  if (x < 0.0f) return own_nan();
  if (x == 0.0f) return -own_infinity();
  if (x < 1.17549435e-38f) x *= 8388608.0f, n = -23.0f; /* no longer subnormal */
  bits = own_bits(x) + (0x3f800000u - 0x3f3504f3u);
  n += (float)((int)(bits >> 23) - 127);
  f = own_number((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  s = f / (2.0f + f);
  z = s * s;
  z = z * (0.666666667f + z * (0.4f + z * (0.285714286f + z * (0.222222222f + z * 0.181818182f))));
  s = f - (0.5f * f * f - s * (0.5f * f * f + z)); /* as in Sun's libm: f is exact */
  return n * 0.693359375f + (s - n * 2.12194440e-4f);
}
/* own_log1pf */
static float own_log1pf(float x) {
  const float sum = 1.0f + x;
  if (sum == 1.0f) return x;
  if (!(sum > 0.0f) || sum > 1e30f) return own_logf(sum);
  return own_logf(sum) * (x / (sum - 1.0f)); /* what rounding has taken from the sum is given back */
}
/* own_sqrtf */
static float own_sqrtf(float x) {
  float y, half, scale = 1.0f;
  int k;
  if (x != x || x == 0.0f || x == own_infinity()) return x;
  if (x < 0.0f) return own_nan();
  if (x < 1e-30f) x *= 18446744073709551616.0f, scale = 2.3283064e-10f; /* 2^64, 2^-32 */
  half = 0.5f * x;
  y = own_number(0x5f375a86u - (own_bits(x) >> 1)); /* about 1 / sqrt(x) */
  for (k = 0; k < 3; k++) y *= 1.5f - half * y * y;
  y *= x;
  return 0.5f * (y + x / y) * scale;
}
/* own_turned */
/* Returns sin(x), or cos(x) as the sine a quarter further on, for |x| < 2^30: the angle is reduced in double precision. */
static float own_turned(float x, int quarters) {
  double rest;
  float r, z;
  long n;
  if (!(own_fabsf(x) < 1073741824.0f)) return own_nan();
  n = (long)(x * 0.63661977236758138 + (x < 0.0f ? -0.5 : 0.5));
  rest = (double)x - (double)n * 1.5707963267948966 - (double)n * 6.123233995736766e-17;
  r = (float)rest;
  z = r * r;
  quarters += (int)(n & 3);
  if (quarters & 1) r = 1.0f - z * (0.5f - z * (0.0416666667f - z * (1.38888889e-3f - z * 2.48015873e-5f)));
  else r = r - r * z * (0.166666667f - z * (8.33333333e-3f - z * (1.98412698e-4f - z * 2.75573192e-6f)));
  return quarters & 2 ? -r : r;
}
/* own_sinf */
static float own_sinf(float x) { return own_turned(x, 0); }
/* own_cosf */
static float own_cosf(float x) { return own_turned(x, 1); }
/* own_tail */
/* Returns erfc(x) for x >= 0.5: exp(-x^2) times Chebyshev's polynomial of 1 / (1 + x / 2) (Press et al.). */
static float own_tail(float x) {
  const float t = 1.0f / (1.0f + 0.5f * x), upper = own_number(own_bits(x) & 0xfffff000u); /* whose square is exact */
  float p = 0.17087277f;
  p = -0.82215223f + t * p;
  p = 1.48851587f + t * p;
  p = -1.13520398f + t * p;
  p = 0.27886807f + t * p;
  p = -0.18628806f + t * p;
  p = 0.09678418f + t * p;
  p = 0.37409196f + t * p;
  p = 1.00002368f + t * p;
  p = -1.26551223f + t * p;
  return t * own_expf(-upper * upper) * own_expf((upper - x) * (upper + x) + p);
}
/* own_erff */
static float own_erff(float x) {
  const float size = own_fabsf(x), z = x * x;
  float term = 1.0f, sum = 1.0f;
  int k;
  if (x != x) return x;
  if (size > 4.0f) return x < 0.0f ? -1.0f : 1.0f;
  if (size >= 1.0f) return x < 0.0f ? own_tail(size) - 1.0f : 1.0f - own_tail(size);
  for (k = 1; k < 11; k++) { /* Maclaurin's series */
    term *= -z / (float)k;
    sum += term / (float)(2 * k + 1);
  }
  return 1.12837917f * x * sum;
}
/* own_erfcf */
static float own_erfcf(float x) {
  if (x != x) return x;
  if (x > 10.1f) return 0.0f;
  return x < 0.5f ? 1.0f - own_erff(x) : own_tail(x);
}
/* own_fmodf */
/* Takes away the largest doubles of b: every difference is exact. */
static float own_fmodf(float a, float b) {
  float rest = own_fabsf(a), by = own_fabsf(b), t;
  if (a != a || b != b || by == 0.0f || rest == own_infinity()) return own_nan();
  while (rest >= by) {
    for (t = by; t <= 0.5f * rest; t *= 2.0f) continue;
    rest -= t;
  }
  return a < 0.0f ? -rest : rest;
}
/* own_powf */
/* exp(b * log(a)), the logarithm in two parts. */
static float own_powf(float a, float b) {
  const int whole = own_fabsf(b) >= 8388608.0f || own_whole(b) == b;
  const int odd = whole && own_fabsf(b) < 16777216.0f && own_whole(b * 0.5f) != b * 0.5f;
  float size = own_fabsf(a), high, low, x;
  double whole_exponent;
  if (b == 0.0f || a == 1.0f) return 1.0f;
  if (a != a || b != b || (a < 0.0f && !whole && size != own_infinity())) return own_nan();
  if (size == 0.0f || size == own_infinity()) {
    x = (size == 0.0f) == (b < 0.0f) ? own_infinity() : 0.0f;
    return odd && own_bits(a) >> 31 ? -x : x;
  }
  if (own_fabsf(b) == own_infinity()) return size == 1.0f ? 1.0f : (size > 1.0f) == (b > 0.0f) ? b * b : 0.0f;
  high = own_logf(size);
  low = size / own_expf(high) - 1.0f; /* what is missing */
  whole_exponent = (double)b * high + (double)b * low;
  high = (float)whole_exponent;
  low = (float)(whole_exponent - high);
  x = own_expf(high) * (1.0f + low);
  return odd && a < 0.0f ? -x : x;
}
