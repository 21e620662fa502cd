// Noise: a hash of counters, the same bits as carousel/kernels/noise.py. Included by runtime.h after its vectors.

typedef int32_t Whole __attribute__((vector_size(LANES * 4)));
typedef uint32_t Word32 __attribute__((vector_size(LANES * 4)));

inline Word32 next_word(Word32 x) { return x * 1664525u + 1013904223u; }

// A whole number below 2^24 for each unit: the first word of pcg3d (Jarzynski and Olano 2020) of two keys and a place.
inline V draw(V key, V more, V first, uint32_t place) {
  Word32 x = next_word((Word32)__builtin_convertvector(key, Whole)), y = next_word((Word32)__builtin_convertvector(more, Whole));
  Word32 z = next_word((Word32)__builtin_convertvector(first, Whole) + place);
  x += y * z, y += z * x, z += x * y;
  x ^= x >> 16, y ^= y >> 16, z ^= z >> 16;
  x += y * z;
  return __builtin_convertvector((Whole)(x >> 8), V);
}
