// Products of weights in 8 bits: whole numbers from -127 to 127, and for each unit the number that one of them stands for, its
// scale. A row of what they multiply is rounded to 16 bits, PIECE numbers at a time, so that sums are whole numbers that 32 bits
// hold exactly: 512 * 127 * 32767 < 2^31. All processors have the same sums.

typedef I Word;  // two numbers of 16 bits, the first in the lower half
typedef M Words;
typedef M Sum;
typedef int16_t Packed;  // two numbers of 8 bits
typedef int16_t H __attribute__((vector_size(WIDTH / 2)));
constexpr long PIECE = 512;

// The scales of a tile's rows and of its sums.
struct Scales { const T* rows; const T* sums; };

inline V scaled(Sum total, const Scales& s, int r, int c) {
  return __builtin_convertvector(total, V) * (load(s.sums + c * LANES) * s.rows[r]);
}

inline Words load_words(const Packed* p) {
#if defined(__AVX512BW__)
  return (Words)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__AVX2__)
  return (Words)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p));
#else
  H both; std::memcpy(&both, p, sizeof both);
  const M wide = __builtin_convertvector(both, M);
  return ((wide << 24 >> 24) & 0xffff) | (wide >> 8 << 16);
#endif
}

inline Sum add_product(Sum sum, Word x, Words w) {
#if defined(__AVX512VNNI__)
  return (Sum)_mm512_dpwssd_epi32((__m512i)sum, _mm512_set1_epi32(x), (__m512i)w);
#elif defined(__AVX512BW__)
  return sum + (Sum)_mm512_madd_epi16(_mm512_set1_epi32(x), (__m512i)w);
#elif defined(__AVX2__)
  return sum + (Sum)_mm256_madd_epi16(_mm256_set1_epi32(x), (__m256i)w);
#elif defined(__SSE2__)
  return sum + (Sum)_mm_madd_epi16(_mm_set1_epi32(x), (__m128i)w);
#else
  return sum + (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16);
#endif
}

// A row's next numbers as words, then zero; returns their scale, which is no number where one of them is none.
inline T to_words(const T* x, long n, Word* out) {
  V most{}, wrong{};
  for (long k = 0; k < n; k += LANES) {
    const V v = n - k < LANES ? load_part(x + k, n - k) : load(x + k);
    most = select(absolute(v) > most, absolute(v), most);
    wrong += v * T(0);
  }
  T each[LANES], none[LANES];
  store(each, most), store(none, wrong);
#pragma GCC unroll 4
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) {
      each[j] = each[j] > each[j + half] ? each[j] : each[j + half];
      none[j] += none[j + half];
    }
  const T top = each[0];
  const V by = all(top > T(1e-30) ? T(32767) / top : T(0));
  for (long k = 0; k < n; k += LANES) {
    const V v = n - k < LANES ? load_part(x + k, n - k) : load(x + k);
    const V whole = v * by + T(12582912);  // 3 * 2^22: the lower half of the number's bits is v, rounded
    M bits; std::memcpy(&bits, &whole, WIDTH);
    const H half = __builtin_convertvector(bits, H);
    std::memcpy(out + k / PAIR, &half, sizeof half);
  }
  return top / T(32767) + none[0];
}

// A weight in units of its row's scale, rounded.
inline uint32_t eight(T weight, T scale) { return scale > 0 ? uint32_t(int32_t(__builtin_nearbyintf(weight / scale))) & 0xff : 0; }

// The scale of a weight's row; no number where one of them is none.
inline T scale_of(const T* row, long n) {
  T top = 0, none = 0;
  for (long k = 0; k < n; ++k) top = __builtin_fabsf(row[k]) > top ? __builtin_fabsf(row[k]) : top, none += row[k] * T(0);
  return top / T(127) + none;
}

// Packs one lane: some weights of a row, `step` words apart.
inline void pack_row(const T* row, long depth, T scale, Packed* out, long step) {
  for (long k = 0; k < depth; k += PAIR) {
    const uint32_t a = eight(row[k], scale), b = k + 1 < depth ? eight(row[k + 1], scale) : 0;
    out[k / PAIR * step] = Packed(a | b << 8);
  }
}
