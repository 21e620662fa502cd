// Functions of vectors, good to the last few places of their type over the whole range; NaN and infinity as PyTorch has them.
// runtime.h includes this file, inside its namespace, where T, V, M, I, LANES, SINGLE, all and select are known. The C library's
// functions of one number have the compiler's names here: their header takes longer to read than all of ours.

constexpr int TERMS = SINGLE ? 7 : 13;  // of the Taylor series of exp on |r| <= ln 2 / 2: below half a unit in the last place

// exp(x) = 2^n (1 + q): q, and n as a whole number in T.
inline V expm1_reduced(V x, V& n) {
  const T magic = SINGLE ? T(12582912.0) : T(6755399441055744.0);  // 1.5 * 2^23, 1.5 * 2^52: adding it rounds
  n = (x * T(1.4426950408889634) + magic) - magic;
  const V r = SINGLE ? (x - n * T(0.693359375)) + n * T(2.12194440e-4)
                     : (x - n * T(6.93147180369123816490e-01)) - n * T(1.90821492927058770002e-10);
  V q = all(T(1));
#pragma GCC unroll 16
  for (int k = TERMS; k > 1; --k) q = q * r * T(1.0 / k) + T(1);
  return q * r;
}

inline V power_of_two(V n) {
  const M k = __builtin_convertvector(n, M);
  const M bits = (k + I(SINGLE ? 127 : 1023)) << I(SINGLE ? 23 : 52);
  V v; std::memcpy(&v, &bits, WIDTH); return v;
}

// Comparisons that leave NaN alone.
inline V at_most(V x, T limit) { return select(x > limit, all(limit), x); }
inline V at_least(V x, T limit) { return select(x < limit, all(limit), x); }

inline V exp(V x) {
  V n;
  const V q = expm1_reduced(at_least(at_most(x, SINGLE ? T(90) : T(711)), SINGLE ? T(-105) : T(-747)), n);
  const V half = all(T(0)) + __builtin_convertvector(__builtin_convertvector(n * T(0.5), M), V);
  return (q + T(1)) * power_of_two(half) * power_of_two(n - half);  // in two steps: 2^n alone may be too large or small
}

inline V logistic(V x) {
  V n;
  const V q = expm1_reduced(at_least(at_most(-x, SINGLE ? T(87) : T(708)), SINGLE ? T(-87) : T(-708)), n);
  const V s = power_of_two(n);
  return T(1) / (q * s + (s + T(1)));
}

inline V tanh(V x) {
  V n;
  const T limit = SINGLE ? T(20) : T(40);
  const V q = expm1_reduced(at_least(at_most(x + x, limit), -limit), n);
  const V s = power_of_two(n);
  const V e = q * s + (s - T(1));  // exp(2x) - 1, exact to the last place also near zero
  return e / (e + T(2));
}

inline V log(V x) {
  M bits; std::memcpy(&bits, &x, WIDTH);
  constexpr int MANTISSA = SINGLE ? 23 : 52;
  const V tiny = all(SINGLE ? T(1.17549435e-38) : T(2.2250738585072014e-308));
  const M small = (x > T(0)) & (x < tiny);
  const V scaled = select(small, x * (SINGLE ? T(16777216.0) : T(18014398509481984.0)), x);
  std::memcpy(&bits, &scaled, WIDTH);
  const I root_half = SINGLE ? I(0x3f3504f3) : I(0x3fe6a09e667f3bccLL);
  const M k = (bits - root_half) >> I(MANTISSA);
  const M rest = bits - (k << I(MANTISSA));
  V m; std::memcpy(&m, &rest, WIDTH);  // in [sqrt(1/2), sqrt(2)), x = m 2^k
  const V f = m - T(1), s = f / (f + T(2)), z = s * s;
  V series = all(T(0));
  constexpr int LOG_TERMS = SINGLE ? 5 : 11;
#pragma GCC unroll 12
  for (int j = LOG_TERMS; j > 0; --j) series = (series + T(1.0 / (2 * j + 1))) * z;
  const V n = __builtin_convertvector(k, V) - select(small, all(SINGLE ? T(24) : T(54)), all(T(0)));
  V y = n * T(0.69314718055994530942) + T(2) * s * (series + T(1));
  y = select(x == T(0), all(-INFINITE), y);
  y = select(x < T(0), all(T(__builtin_nan(""))), y);
  return select((x == INFINITE) | (x != x), x, y);
}

inline V absolute(V x) {
  M bits; std::memcpy(&bits, &x, WIDTH);
  bits &= I(SINGLE ? I(0x7fffffff) : I(0x7fffffffffffffffLL));
  V y; std::memcpy(&y, &bits, WIDTH); return y;
}

inline V sign(V x) { return select(x > T(0), all(T(1)), select(x < T(0), all(T(-1)), all(T(0)))); }

inline V sqrt(V x) {
  T each[LANES]; std::memcpy(each, &x, WIDTH);
  for (int k = 0; k < LANES; ++k) each[k] = SINGLE ? T(__builtin_sqrtf(each[k])) : T(__builtin_sqrt(each[k]));  // one instruction of vectors
  V y; std::memcpy(&y, each, WIDTH); return y;
}

// exp(x) - 1 where x <= 0, also near zero.
inline V elu(V x) {
  V n;
  const V q = expm1_reduced(at_least(at_most(x, T(0)), SINGLE ? T(-87) : T(-708)), n);
  const V s = power_of_two(n);
  return select(x < T(0), q * s + (s - T(1)), x);
}

// max(0, x) + log(1 + exp(-|x|)).
inline V softplus(V x) {
  const V e = exp(-absolute(x)), s = e / (e + T(2)), z = s * s;  // log(1 + e) = 2 artanh(s), 0 <= s <= 1/3
  V series = all(T(0));
  constexpr int SERIES = SINGLE ? 7 : 16;
#pragma GCC unroll 16
  for (int j = SERIES; j > 0; --j) series = (series + T(1.0 / (2 * j + 1))) * z;
  return at_least(x, T(0)) + T(2) * s * (series + T(1));
}

// 1 / (1 + exp(-u)) down to the smallest numbers and to zero: x times it has no error left where x is large.
inline V share_of(V u) {
  const V e = exp(-absolute(u));
  return select(u < T(0), e, all(T(1))) / (e + T(1));
}

inline V silu(V x) { return x * share_of(x); }
inline V softsign(V x) { return x / (absolute(x) + T(1)); }

template <int N> inline V polynomial(V x, const double (&c)[N]) {
  V y = all(T(c[N - 1]));
#pragma GCC unroll 32
  for (int k = N - 2; k >= 0; --k) y = y * x + T(c[k]);
  return y;
}

// exp(z^2) erfc(z) / t by u = 2t - 1, t = 3 / (3 + z), fitted on z >= 0; erf(x) / x by x^2, fitted on |x| <= 1.
constexpr double ERFC_SINGLE[] = {0.3580023042, 0.2944648173, 0.1967426553, 0.1034891193, 0.0398441256, 0.008942033506,
  -0.0004108609177, -0.001009694562, -0.0001692032606, 8.88782568e-5, 2.257789162e-5, -6.751377339e-6};
constexpr double ERFC_DOUBLE[] = {0.35800230236277990084, 0.29446481772329448572, 0.19674278570136724064, 0.10348908730019453157,
  0.039842587095765524849, 0.0089424115413472218476, -0.00040413887579366638203, -0.001011353998646807147,
  -0.00018276989641738932803, 0.000092259271077795723149, 0.000035853822251279294628, -0.00001013268278654813339,
  -5.8234919925142109442e-6, 1.5830066026471314256e-6, 9.2171599720054924943e-7, -3.3293415060780941913e-7,
  -1.3585628142274328619e-7, 7.794578660145061371e-8, 1.5218233457419049582e-8, -1.7056980501515437266e-8,
  -2.3845837151650604904e-10, 2.8963907655785433154e-9, -3.598345759503591614e-10, -2.7008895413344189825e-10,
  6.0342718945458416209e-11};
constexpr double ERF_SINGLE[] = {1.128379166, -0.3761262667, 0.1128359472, -0.02685421201, 0.005189087423, -0.0008016864287,
  7.875875063e-5};
constexpr double ERF_DOUBLE[] = {1.1283791670955125738, -0.37612638903183748056, 0.11283791670954878666,
  -0.026866170645076793248, 0.0052239776248180144673, -0.00085483269808337899052, 0.00012055331111642710923,
  -0.000014925595266831181565, 1.6461000484121368033e-6, -1.6350312701054695011e-7, 1.4659775274047435814e-8,
  -1.137284885679167367e-9, 5.9571761477489114044e-11};

// erfc(z) for z >= 0.
inline V erfc_positive(V z) {
  z = at_most(z, SINGLE ? T(11) : T(28));
  const V t = T(3) / (z + T(3)), u = (T(3) - z) / (z + T(3));
  V p;
  if constexpr (SINGLE) p = polynomial(u, ERFC_SINGLE); else p = polynomial(u, ERFC_DOUBLE);
  M bits; std::memcpy(&bits, &z, WIDTH);
  bits &= I(SINGLE ? I(-4096) : I(-(1LL << 27)));
  V high; std::memcpy(&high, &bits, WIDTH);  // its square is exact, so what z * z leaves out is known
  const V low = z - high, square = z * z, rest = ((high * high - square) + (high + high) * low) + low * low;
  return exp(-square) * (T(1) - rest) * (t * p);
}

inline V erfc(V x) {
  const V tail = erfc_positive(absolute(x));
  return select(x < T(0), T(2) - tail, tail);
}

inline V erf(V x) {
  const V z = absolute(x), far = T(1) - erfc_positive(z), s = x * x;
  V near;
  if constexpr (SINGLE) near = x * polynomial(s, ERF_SINGLE); else near = x * polynomial(s, ERF_DOUBLE);
  return select(z < T(1), near, select(x < T(0), -far, far));
}

inline V gelu(V x) { return x * (T(0.5) * erfc(x * T(-0.70710678118654752440))); }
inline V gelu_tanh(V x) { return x * share_of(T(1.5957691216057307117) * (x + T(0.044715) * (x * x * x))); }

// sin(x + quarter * pi / 2). Where x is too large for its multiple of pi / 2 to be exact, the standard library's.
inline V wave(V x, I quarter) {
  const T magic = SINGLE ? T(12582912.0) : T(6755399441055744.0);
  const V n = (x * T(0.63661977236758134308) + magic) - magic;
  const V r = SINGLE ? (((x - n * T(1.5703125)) - n * T(0.0004837512969970703125)) - n * T(7.549533620476722717285156e-8)) - n * T(2.5633441515945187882e-12)
                     : ((x - n * T(1.570796325802803039550781)) - n * T(9.920935791635221434603409e-10)) - n * T(5.1701829817941055689e-19);
  const V z = r * r;
  V s = all(T(0)), c = all(T(0));
  constexpr int SERIES = SINGLE ? 5 : 9;
#pragma GCC unroll 16
  for (int k = SERIES; k > 0; --k) {
    s = (T(1) - s) * z * T(1.0 / (2 * k * (2 * k + 1)));
    c = (T(1) - c) * z * T(1.0 / (2 * k * (2 * k - 1)));
  }
  const M far = ~(absolute(x) <= (SINGLE ? T(8192) : T(524288)));  // also NaN and infinity
  const M turns = __builtin_convertvector(select(far, all(T(0)), n), M) + quarter;
  V y = select((turns & I(1)) != 0, T(1) - c, r - r * s);
  y = select((turns & I(2)) != 0, -y, y);
  I any = 0;
  for (int k = 0; k < LANES; ++k) any |= far[k];
  if (any)
    for (int k = 0; k < LANES; ++k)
      if (far[k]) {
        if constexpr (SINGLE) y[k] = quarter ? __builtin_cosf(x[k]) : __builtin_sinf(x[k]);
        else y[k] = quarter ? __builtin_cos(x[k]) : __builtin_sin(x[k]);
      }
  return y;
}

inline V sin(V x) { return select(x == T(0), x, wave(x, I(0))); }  // zero keeps its sign
inline V cos(V x) { return wave(x, I(1)); }

inline V maximum(V a, V b) { return select((a > b) | (a != a), a, b); }
inline V minimum(V a, V b) { return select((a < b) | (a != a), a, b); }
inline V clip(V x, V low, V high) { return minimum(maximum(x, low), high); }
inline V hard_sigmoid(V x) { return clip(x + T(3), all(T(0)), all(T(6))) / T(6); }
inline V hard_tanh(V x) { return clip(x, all(T(-1)), all(T(1))); }
inline V lanes(V a, V b, T (*f)(T, T)) { V y; for (int k = 0; k < LANES; ++k) y[k] = f(a[k], b[k]); return y; }
inline V power(V a, V b) { return lanes(a, b, [](T x, T y) { return SINGLE ? T(__builtin_powf(x, y)) : T(__builtin_pow(x, y)); }); }
// The remainder with the divisor's sign, as Python and PyTorch have it. Of a small quotient the whole part is right or one off, and
// one fused operation finds what is left without rounding; where that has the other sign, one divisor more is right.
inline V modulo(V a, V b) {
#if defined(__FMA__) || defined(__aarch64__)
  const V q = a / b;
  const T small = SINGLE ? T(4194304.0) : T(2251799813685248.0);  // 2^22, 2^51
  const M fits = (q < small) & (q > -small) & (b - b == T(0));
  bool every = true;
  for (int k = 0; k < LANES; ++k) every &= fits[k] != 0;
  if (every) {
    const V n = __builtin_convertvector(__builtin_convertvector(q, M), V);
    V m;
    for (int k = 0; k < LANES; ++k) m[k] = SINGLE ? T(__builtin_fmaf(-n[k], b[k], a[k])) : T(__builtin_fma(-n[k], b[k], a[k]));
    m = select((m != T(0)) & ((m < T(0)) != (b < T(0))), m + b, m);
    return select(m == T(0), a * T(0), m);
  }
#endif
  return lanes(a, b, [](T x, T y) { T m = SINGLE ? T(__builtin_fmodf(x, y)) : T(__builtin_fmod(x, y)); return m != 0 && (m < 0) != (y < 0) ? m + y : m; });
}
