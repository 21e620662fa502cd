// What every generated kernel stands on: vectors, functions of vectors (functions.h), matrix products, a team of threads.
// Vector extensions that GCC and Clang share; T (float or double) and WIDTH (bytes of a vector) come from the command line.
// With BFLOAT (AVX-512 alone), T is float, and what is multiplied is rounded to bfloat16; sums and all else stay float. With INT8,
// T is float, weights have 8 bits (int8.h), and only runs forwards are compiled.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif
#if defined(BFLOAT) || (defined(INT8) && defined(__SSE2__))
#include <immintrin.h>
#endif

namespace {

template <int BYTES> struct Integer { typedef int32_t type; };
template <> struct Integer<8> { typedef int64_t type; };
typedef Integer<sizeof(T)>::type I;
typedef T V __attribute__((vector_size(WIDTH)));
typedef I M __attribute__((vector_size(WIDTH)));  // conditions: all bits set where true
constexpr int LANES = WIDTH / sizeof(T);
constexpr bool SINGLE = sizeof(T) == 4;

inline V all(T x) { return V{} + x; }
inline V all(V x) { return x; }
inline V select(M condition, V a, V b) { return condition ? a : b; }

// ---------------------------------------------------------------- memory

inline V load(const T* p) { V v; std::memcpy(&v, p, WIDTH); return v; }
inline void store(T* p, V v) { std::memcpy(p, &v, WIDTH); }

#if defined(__AVX512F__) && !defined(__clang__)
inline V load_part(const T* p, long n) {
  if constexpr (SINGLE) return (V)__builtin_ia32_loadups512_mask((const float*)p, (__attribute__((vector_size(64))) float){}, (1u << n) - 1);
  else return (V)__builtin_ia32_loadupd512_mask((const double*)p, (__attribute__((vector_size(64))) double){}, (1u << n) - 1);
}
inline void store_part(T* p, V v, long n) {
  if constexpr (SINGLE) __builtin_ia32_storeups512_mask((float*)p, (__attribute__((vector_size(64))) float)v, (1u << n) - 1);
  else __builtin_ia32_storeupd512_mask((double*)p, (__attribute__((vector_size(64))) double)v, (1u << n) - 1);
}
#else
inline V load_part(const T* p, long n) { V v{}; std::memcpy(&v, p, n * sizeof(T)); return v; }
inline void store_part(T* p, V v, long n) { std::memcpy(p, &v, n * sizeof(T)); }
#endif

// The last units of a layer may not fill a vector: TAIL says so, n is how many there are.
template <bool TAIL> inline V load(const T* p, long n) { if constexpr (TAIL) return load_part(p, n); else return load(p); }
template <bool TAIL> inline void store(T* p, V v, long n) { if constexpr (TAIL) store_part(p, v, n); else store(p, v); }

#include "functions.h"
#include "noise.h"

// ---------------------------------------------------------------- matrix products
//
// A tile is some rows times some sums, a sum being LANES units of one product. Weights are packed so that the vectors
// of a tile of units lie together: [tile][depth][sum][lane].

constexpr int REGISTERS = WIDTH == 64 ? 24 : 12;  // vector registers that a tile may fill
constexpr int MOST_ROWS = 8;

constexpr int rows_of(int sums) { return sums >= REGISTERS ? 1 : REGISTERS / sums < MOST_ROWS ? REGISTERS / sums : MOST_ROWS; }
#ifdef INT8
constexpr int UNITS = WIDTH == 64 ? 8 : 2;  // a row is rounded for each tile
#else
constexpr int UNITS = WIDTH == 64 ? 4 : 2;  // sums of a tile where a product gives one a unit: neighbouring blocks
#endif

// What is multiplied at once: a Word of a row with Words of weights, PAIR numbers deep; a lane of them has a Packed in a panel.
#if defined(INT8)
#include "int8.h"
#else
#if defined(BFLOAT)
typedef I Word;  // two numbers of bfloat16, the first in the lower half
typedef M Words;
constexpr int PAIR = 2;
constexpr long PIECE = 512;  // of a row, rounded at once

inline uint32_t bits_of(float x) { uint32_t b; std::memcpy(&b, &x, 4); return b; }
// To the nearest, to even where two are as near; NaN stays NaN.
inline uint32_t bfloat(float x) { const uint32_t b = bits_of(x); return x != x ? 0x7fc0u | (b >> 31 << 15) : (b + 0x7fffu + (b >> 16 & 1)) >> 16; }
inline Word word(T a, T b) { return Word(bfloat(a) | bfloat(b) << 16); }

inline V add_product(V sum, Word x, Words w) {
  return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(x), (__m512bh)w);
}

// A row's next numbers as words; an odd last one beside zero.
inline void to_words(const T* x, long n, Word* out) {
  long k = 0;
  for (; k + 32 <= n; k += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + k + 16), _mm512_loadu_ps(x + k));
    std::memcpy(out + k / 2, &both, 64);
  }
  for (; k + 1 < n; k += 2) out[k / 2] = word(x[k], x[k + 1]);
  if (k < n) out[k / 2] = word(x[k], T(0));
}

// The last words of a row, then zero. Not inlined: rows are read sixteen at once, and a compiler works on that for seconds.
__attribute__((noinline)) Words last_words(const T* x, long n) {
  alignas(64) Word some[LANES] = {};
  to_words(x, n, some);
  Words w; std::memcpy(&w, some, WIDTH); return w;
}

// The next LANES words of a row, or as many as n numbers make, then zero.
inline Words row_words(const T* x, long n) {
  if (n < PAIR * LANES) return last_words(x, n);
  const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + LANES), _mm512_loadu_ps(x));
  Words w; std::memcpy(&w, &both, WIDTH); return w;
}
#else
typedef T Word;
typedef V Words;
constexpr int PAIR = 1;
inline Word word(T a, T) { return a; }
inline Words row_words(const T* x, long n) { return n < LANES ? load_part(x, n) : load(x); }
inline V add_product(V sum, Word x, Words w) { return sum + x * w; }
#endif

typedef Word Packed;
typedef V Sum;
struct Scales {};
inline V scaled(Sum total, const Scales&, int, int) { return total; }
inline Words load_words(const Packed* p) { Words v; std::memcpy(&v, p, WIDTH); return v; }
constexpr long words(long depth) { return (depth + PAIR - 1) / PAIR; }
constexpr long packed(long depth) { return words(depth); }  // numbers of T that a lane has in a panel
#endif

// result[r][c] = sum over k of x[r][k] * panel[k][c], added to result where `more`; `depth` is counted in words.
template <int R, int C>
__attribute__((noinline)) void multiply(const Word* const* rows, const Packed* panel, long depth, Scales scales, V* result, bool more) {
  const Word* x[R];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) x[r] = rows[r];
  constexpr int CHAINS = R * C >= 8 ? 1 : R * C >= 4 ? 2 : 4;  // enough independent additions to hide their latency
  Sum sums[CHAINS][R][C];
#pragma GCC unroll 32
  for (int j = 0; j < CHAINS; ++j)
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
      for (int c = 0; c < C; ++c) sums[j][r][c] = Sum{};
  long k = 0;
  for (; k + CHAINS <= depth; k += CHAINS)
#pragma GCC unroll 32
    for (int j = 0; j < CHAINS; ++j) {
      Words w[C];
#pragma GCC unroll 32
      for (int c = 0; c < C; ++c) w[c] = load_words(panel + ((k + j) * C + c) * LANES);
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
        for (int c = 0; c < C; ++c) sums[j][r][c] = add_product(sums[j][r][c], x[r][k + j], w[c]);
    }
  for (; k < depth; ++k)
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
      for (int c = 0; c < C; ++c) sums[0][r][c] = add_product(sums[0][r][c], x[r][k], load_words(panel + (k * C + c) * LANES));
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
    for (int c = 0; c < C; ++c) {
      Sum total = sums[0][r][c];
#pragma GCC unroll 32
      for (int j = 1; j < CHAINS; ++j) total += sums[j][r][c];
      const V found = scaled(total, scales, r, c);
      result[r * C + c] = more ? result[r * C + c] + found : found;
    }
}

template <int R, int C> inline void multiply_rows(int rows, const Word* const* x, const Packed* panel, long depth, Scales scales, V* result, bool more) {
  if (rows == R) return multiply<R, C>(x, panel, depth, scales, result, more);
  if constexpr (R > 1) multiply_rows<R - 1, C>(rows, x, panel, depth, scales, result, more);
}

// How a stage whose largest product has G sums a unit is cut into tiles: neighbouring blocks of units, and rows.
template <int G> struct Tiling {
  static constexpr int MOST_UNITS = G * 2 > UNITS ? 1 : UNITS / G;
  static constexpr int ROWS = rows_of(G * MOST_UNITS);
};

// G sums a unit, `units` blocks of units in the tile.
template <int G, class Tile> inline void multiply_units(int rows, int units, const Word* const* x, const Packed* panel, long depth, Scales scales, V* result, bool more) {
  if (units == 1) return multiply_rows<Tile::ROWS, G>(rows, x, panel, depth, scales, result, more);
  if constexpr (Tile::MOST_UNITS >= 2) if (units == 2) return multiply_rows<Tile::ROWS, 2 * G>(rows, x, panel, depth, scales, result, more);
  if constexpr (Tile::MOST_UNITS >= 3) if (units == 3) return multiply_rows<Tile::ROWS, 3 * G>(rows, x, panel, depth, scales, result, more);
  if constexpr (Tile::MOST_UNITS >= 4) if (units == 4) return multiply_rows<Tile::ROWS, 4 * G>(rows, x, panel, depth, scales, result, more);
}

template <int G, class Tile> inline void product(int rows, int units, const T* const* x, const T* panel, long depth, V* result, bool more) {
#if defined(BFLOAT) || defined(INT8)
  alignas(64) Word rounded[Tile::ROWS][PIECE / PAIR];
  const Word* each[Tile::ROWS];
  for (int r = 0; r < rows; ++r) each[r] = rounded[r];
#ifdef INT8
  T scales[Tile::ROWS];
  const Packed* weights = (const Packed*)(panel + units * G * LANES);
#else
  const Packed* weights = (const Packed*)panel;
#endif
  for (long k = 0; k < depth; k += PIECE) {
    const long n = depth - k < PIECE ? depth - k : PIECE;
#ifdef INT8
    for (int r = 0; r < rows; ++r) scales[r] = to_words(x[r] + k, n, rounded[r]);
    const Scales of{scales, panel};
#else
    for (int r = 0; r < rows; ++r) to_words(x[r] + k, n, rounded[r]);
    const Scales of{};
#endif
    multiply_units<G, Tile>(rows, units, each, weights + k / PAIR * units * G * LANES, words(n), of, result, more || k > 0);
  }
#else
  multiply_units<G, Tile>(rows, units, x, panel, depth, Scales{}, result, more);
#endif
}

// The same of rows that lie one after the other.
template <int G, class Tile> inline void product(int rows, int units, const T* x, long stride, const T* panel, long depth, V* result, bool more) {
  const T* each[Tile::ROWS];
  for (int r = 0; r < rows; ++r) each[r] = x + r * stride;
  product<G, Tile>(rows, units, each, panel, depth, result, more);
}

// Pointers to some rows of an array, by their numbers.
inline void gather_rows(const T** each, const T* x, long stride, const int64_t* numbers, int rows) {
  for (int r = 0; r < rows; ++r) each[r] = x + numbers[r] * stride;
}

// ---------------------------------------------------------------- threads

struct Range { long from, to; };

inline Range share(long n, long parts, long part) { return {n * part / parts, n * (part + 1) / parts}; }

// Threads wait here for one another. Each call is one round: the last to come opens the door for all. What was written before
// the barrier is seen after it: the counter is acquired and released by every thread, the round by those that leave.
struct alignas(64) Barrier {
  std::atomic<int> come{0};
  alignas(64) std::atomic<int> round{0};
  void wait(int threads) {
    if (threads == 1) return;
    const int now = round.load(std::memory_order_relaxed);
    if (come.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      come.store(0, std::memory_order_relaxed);
      round.store(now + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round.load(std::memory_order_acquire) == now; ++spins) {
      if (spins < 4000) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      } else {
#if defined(__unix__) || defined(__APPLE__)
        sched_yield();  // somebody else has the processor
#endif
      }
    }
  }
};

// One step of the loop: where its rows begin in arrays of all steps (`at`) and in those that a step without
// derivatives overwrites (`slot`), how many rows it has, the same of the step after, and which rows start anew there.
struct Step {
  long at, slot, rows, next, next_rows, next_at;
  long local;  // where its rows begin in arrays of some steps
  const uint8_t* resets;
  const uint8_t* next_resets;
};

struct Steps {
  long count, batch;
  const int64_t *at, *slot, *rows;
  const uint8_t* resets;  // of all rows of all steps, or null
  bool levels;  // of any numbers of rows, each of which may need rows of any thread
  // `begin`: the first of the steps that arrays of some steps hold.
  Step at_step(long s, long begin) const {
    Step step{};
    step.local = (s - begin) * batch;
    step.at = at[s], step.slot = slot[s], step.rows = rows[s];
    step.resets = resets ? resets + at[s] : nullptr;
    if (s + 1 < count) {
      step.next = slot[s + 1], step.next_rows = rows[s + 1], step.next_at = at[s + 1];
      step.next_resets = resets ? resets + at[s + 1] : nullptr;
    }
    return step;
  }
};

constexpr int MOST_THREADS = 256;

// A tile of units: its head, the number of its first block among all, its first unit, the head's units from there, its blocks.
struct Piece { long head, block, unit, left; int wide; };

// How the units of a vector are cut: into heads of as many units each, a head into blocks of LANES units, the last of which may
// not be full, so that no block has units of two heads; blocks of a head into tiles.
struct Cut {
  long width, blocks, each, tiles;  // units, blocks and tiles of a head; all tiles
  int heads, most;  // blocks of a tile
  Cut(long units, int heads, int most)
      : width(units / heads), blocks((width + LANES - 1) / LANES), each((blocks + most - 1) / most), tiles(heads * each), heads(heads), most(most) {}
  Piece at(long tile) const {
    const long head = heads == 1 ? 0 : tile / each, first = (tile - head * each) * most;
    return {head, head * blocks + first, head * width + first * LANES, width - first * LANES, int(blocks - first < most ? blocks - first : most)};
  }
};

// Which rows and which units of each stage a thread has: rows are dealt out first, because threads that share no row
// need not wait for one another before the end; units are divided where there are too few rows.
struct Team {
  int rank = 0, size = 1, across = 1;  // `across`: threads that share the same rows
  bool levels = false;
  Range rows{0, 0};
  Barrier* barrier = nullptr;
  int column() const { return rank % across; }
  int group() const { return rank / across; }
  void wait() const { barrier[1 + group()].wait(across); }
  void wait_all() const { barrier[0].wait(size); }
  // The share of a stage's tiles of units. Where threads share rows, smaller tiles are shared out more evenly.
  template <class Tile> int units() const { return across > 1 ? 1 : Tile::MOST_UNITS; }
  Range tiles(const Cut& cut) const { return share(cut.tiles, across, column()); }
  // The share of the tiles to pack, which everyone will read.
  Range packing(const Cut& cut) const { return share(cut.tiles, size, rank); }
  // The rows of a step of so many: those dealt out, as far as the step has them, or of levels a share of each.
  Range rows_among(long n) const {
    if (levels) return share(n, size / across, group());
    return {rows.from, rows.to < n ? rows.to : n > rows.from ? n : rows.from};
  }
  Range rows_of(const Step& s) const { return rows_among(s.rows); }
  void divide(const Steps& steps, long blocks, double depth, int most_rows);
};

// Cycles of a step's products for the busiest thread, roughly: a tile of few rows waits for its weights.
inline double cost(long rows, long blocks, double depth, int most_rows, int threads, int across) {
  const long mine = (rows * across + threads - 1) / threads, tiles = (mine + most_rows - 1) / most_rows;
  double work = 0;
  for (long k = 0; k < tiles; ++k) {
    const Range r = share(mine, tiles, k);
    work += r.to - r.from < 2 ? 2 : double(r.to - r.from);
  }
  return work * double((blocks + across - 1) / across) * depth + (across > 1 ? 1500.0 : 0.0);
}

inline int choose_across(long rows, long blocks, double depth, int most_rows, int threads) {
  int best = 1;
  for (int across = 2; across <= threads; ++across)
    if (threads % across == 0 && cost(rows, blocks, depth, most_rows, threads, across) < cost(rows, blocks, depth, most_rows, threads, best))
      best = across;
  return best;
}

// Rows dealt out so that each group has as many steps: long sequences come first.
inline Range deal(const int64_t* rows, long steps, long batch, int groups, int group) {
  double total = 0;
  for (long s = 0; s < steps; ++s) total += double(rows[s]);
  Range range{0, batch};
  double before = 0;
  long row = 0;
  for (int g = 0; g <= group; ++g) {
    range.from = row;
    const double wanted = total * (g + 1) / groups;
    while (row < batch && (g == groups - 1 || before < wanted - 0.5)) {
      long length = 0;
      if (rows[0] == batch && rows[steps - 1] == batch) length = steps;
      else for (long s = 0; s < steps; ++s) length += rows[s] > row;
      before += double(length);
      ++row;
    }
    range.to = row;
  }
  return range;
}

inline void Team::divide(const Steps& steps, long blocks, double depth, int most_rows) {
  levels = steps.levels;
  if (levels) {
    long total = 0;
    for (long s = 0; s < steps.count; ++s) total += steps.rows[s];
    across = choose_across((total + steps.count - 1) / steps.count, blocks, depth, most_rows, size);
    return;
  }
  across = choose_across(steps.batch, blocks, depth, most_rows, size);
  rows = deal(steps.rows, steps.count, steps.batch, size / across, group());
}

// ---------------------------------------------------------------- over units

template <int... K> constexpr M counted(std::integer_sequence<int, K...>) { return M{K...}; }

// The first n lanes of a vector, the others at `rest`.
template <bool TAIL> inline V only(V v, long n, T rest) {
  if constexpr (TAIL) return select(counted(std::make_integer_sequence<int, LANES>{}) < I(n), v, all(rest));
  else return v;
}

// The sum of all lanes, pair by pair; the largest.
inline T folded(V v) {
  T x[LANES];
  store(x, v);
#pragma GCC unroll 4
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) x[k] += x[k + half];
  return x[0];
}

inline T largest(V v) {
  T x = v[0];
  for (int k = 1; k < LANES; ++k) x = x > v[k] || x != x ? x : v[k];
  return x;
}

// What a thread has of a row's sum: in each lane a sum, and what rounding has added to it (Kahan), so that many units cost no
// digits. Once a sum is infinite nothing is known of the rest.
inline void begin_sum(T* p) { store(p, V{}); store(p + LANES, V{}); }
template <bool TAIL> inline void gather_sum(T* p, V v, long n) {
  const V sum = load(p), y = only<TAIL>(v, n, T(0)) - load(p + LANES), next = sum + y, added = (next - sum) - y;
  store(p, next);
  store(p + LANES, select(added == added, added, V{}));
}

inline void begin_max(T* p) { store(p, all(T(-INFINITY))); }
template <bool TAIL> inline void gather_max(T* p, V v, long n) { store(p, maximum(load(p), only<TAIL>(v, n, T(-INFINITY)))); }

// Of some rows, what all threads that share them have gathered; always in the same order.
template <bool TAIL> inline V reduced_sum(const T* partial, const Team& team, long batch, long row, long n) {
  V found{};
  for (long r = 0; r < n; ++r) {
    V sum{};
    for (int k = 0; k < team.across; ++k) {
      const T* p = partial + ((team.rank - team.column() + k) * batch + row + r) * 2 * LANES;
      sum += load(p) - load(p + LANES);
    }
    found[r] = folded(sum);
  }
  return found;
}

template <bool TAIL> inline V reduced_max(const T* partial, const Team& team, long batch, long row, long n) {
  V found{};
  for (long r = 0; r < n; ++r) {
    V most = all(T(-INFINITY));
    for (int k = 0; k < team.across; ++k) most = maximum(most, load(partial + ((team.rank - team.column() + k) * batch + row + r) * LANES));
    found[r] = largest(most);
  }
  return found;
}

// One number of each of some rows, `width` apart.
template <bool TAIL> inline V load_rows(const T* p, long width, long n) {
  if (width == 1) return load<TAIL>(p, n);
  V v{};
  for (long r = 0; r < n; ++r) v[r] = p[r * width];
  return v;
}
template <bool TAIL> inline void store_rows(T* p, long width, V v, long n) {
  if (width == 1) return store<TAIL>(p, v, n);
  for (long r = 0; r < n; ++r) p[r * width] = v[r];
}

// ---------------------------------------------------------------- packing

// Lanes of two rows of a square that change places where it is turned by blocks of S: first the new upper row, then the lower.
template <int S, bool LOWER> constexpr int from_lane(int k) { return LOWER ? (k & S ? LANES + k : k + S) : (k & S ? LANES + k - S : k); }

template <int S, bool LOWER, int... K> inline Words mixed(Words a, Words b, std::integer_sequence<int, K...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, from_lane<S, LOWER>(K)...);
#else
  return __builtin_shuffle(a, b, M{from_lane<S, LOWER>(K)...});
#endif
}

template <int S> inline void turn(Words* rows) {
  if constexpr (S < LANES) {
    constexpr std::make_integer_sequence<int, LANES> lanes{};
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i)
      if (!(i & S)) {
        const Words a = rows[i], b = rows[i + S];
        rows[i] = mixed<S, false>(a, b, lanes);
        rows[i + S] = mixed<S, true>(a, b, lanes);
      }
    turn<2 * S>(rows);
  }
}

// Some dense weights with the same operand, each with its own row stride, and so many columns before it in its rows.
struct Dense { const T* const* w; const long* stride; const long* begin; int count; };

#ifdef INT8
// For sums of them: panel[tile][k][u * count + g][lane] = w[g][unit][k], PAIR of them a Packed, behind the scales of all lanes.
__attribute__((noinline)) void pack(Dense weights, T* panel, long depth, const Cut& cut, const Team& team) {
  const int G = weights.count;
  const Range tiles = team.packing(cut);
  for (long tile = tiles.from; tile < tiles.to; ++tile) {
    const Piece at = cut.at(tile);
    const long width = long(at.wide) * G * LANES;
    T* scales = panel + at.block * G * LANES * packed(depth);
    Packed* out = (Packed*)(scales + width);
    for (long c = 0; c < width; ++c) {
      const long unit = c / (G * LANES) * LANES + c % LANES, g = c / LANES % G;
      scales[c] = 0;
      for (long k = 0; k < words(depth); ++k) out[k * width + c] = 0;
      if (unit >= at.left) continue;
      const T* row = weights.w[g] + (at.unit + unit) * weights.stride[g];
      scales[c] = scale_of(row - weights.begin[g], weights.stride[g]);
      pack_row(row, depth, scales[c], out + c, width);
    }
  }
}
#else
// For sums of them: panel[tile][k][u * count + g][lane] = w[g][unit][k], PAIR of them a word. Blocks of heads lie one below the
// other, so that a unit's row is where it would be in a whole weight.
__attribute__((noinline)) void pack(Dense weights, T* panel, long depth, const Cut& cut, const Team& team) {
  const int G = weights.count;
  const Range tiles = team.packing(cut);
  for (long tile = tiles.from; tile < tiles.to; ++tile) {
    const Piece at = cut.at(tile);
    const long width = at.wide * G;
    Word* out = (Word*)panel + at.block * G * LANES * words(depth);
    for (long c = 0; c < width; ++c) {
      const long from = c / G * LANES, g = c % G, n = at.left - from < LANES ? at.left - from : LANES;
      const T* in = weights.w[g] + (at.unit + from) * weights.stride[g];
      for (long k = 0; k < depth; k += LANES * PAIR) {
        Words rows[LANES];
#pragma GCC unroll 16
        for (int j = 0; j < LANES; ++j) rows[j] = j < n ? row_words(in + j * weights.stride[g] + k, depth - k) : Words{};
        turn<1>(rows);
        for (long i = 0; i < LANES && i < words(depth - k); ++i)
          std::memcpy(out + ((k / PAIR + i) * width + c) * LANES, rows + i, WIDTH);
      }
    }
  }
}

// For sums over the units of all of them, of what they are multiplied with: panel[tile][g * rows + k][u][lane] = w[g][k][unit].
// ``own``: each head has rows and columns of its own.
__attribute__((noinline)) void pack_transposed(Dense weights, T* panel, long rows, const Cut& cut, const Team& team, bool own) {
  const long depth = weights.count * rows;
  const Range tiles = team.packing(cut);
  for (long tile = tiles.from; tile < tiles.to; ++tile) {
    const Piece at = cut.at(tile);
    const long width = at.wide, n = at.left < width * LANES ? at.left : width * LANES;
    Word* out = (Word*)panel + at.block * LANES * words(depth);
    const long first = own ? at.head * rows : 0, from = own ? cut.width - at.left : at.unit;
    const auto row = [&](long k) { return weights.w[k / rows] + (first + k % rows) * weights.stride[k / rows] + from; };
    for (long k = 0; k < depth; k += PAIR, out += width * LANES) {
      const T *a = row(k), *b = k + PAIR <= depth ? row(k + PAIR - 1) : nullptr;
      for (long j = 0; j < n; ++j) out[j] = word(a[j], b ? b[j] : T(0));
      for (long j = n; j < width * LANES; ++j) out[j] = Word(0);
    }
  }
}

#endif

// The same of G weights, by value: functions of their own for every G would be compiled as often.
template <int G> struct Weights {
  const T* w[G];
  long stride[G], begin[G];
  operator Dense() const { return {w, stride, begin, G}; }
};

// What needs the input alone, for the steps [begin, end): e[step][row][g * n + unit] = w[g] @ x[row of step] + bias.
// The rows of several steps share a tile, so that few rows a step do not mean small tiles.
template <int G> void hoist(const Steps& steps, const Team& team, long begin, long end, const T* x, long depth, const T* panel, const T* bias, T* e, long n) {
  typedef Tiling<G> Tile;
  constexpr int MOST = Tile::ROWS * 32;
  const Cut cut(n, 1, team.units<Tile>());
  const Range tiles = team.tiles(cut);
  const T* from[MOST];
  T* to[MOST];
  V sums[Tile::ROWS * Tile::MOST_UNITS * G];
  long step = begin, row = team.rows_among(steps.rows[begin]).from;
  while (step < end) {
    int have = 0;
    for (; step < end && have < MOST; ++step, row = step < end ? team.rows_among(steps.rows[step]).from : 0) {
      const long last = team.rows_among(steps.rows[step]).to;
      for (; row < last && have < MOST; ++row, ++have) {
        from[have] = x + (steps.at[step] + row) * depth;
        to[have] = e + ((step - begin) * steps.batch + row) * G * n;
      }
      if (row < last) break;  // full: this step goes on
    }
    const long count = (have + Tile::ROWS - 1) / Tile::ROWS;
    for (long tile = tiles.from; tile < tiles.to; ++tile) {
      const Piece at = cut.at(tile);
      for (long k = 0; k < count; ++k) {
        const Range part = share(have, count, k);
        product<G, Tile>(int(part.to - part.from), at.wide, from + part.from, panel + at.block * G * LANES * packed(depth), depth, sums, false);
        const V* sum = sums;
        for (long r = part.from; r < part.to; ++r)
          for (int u = 0; u < at.wide; ++u)
            for (int g = 0; g < G; ++g, ++sum) {
              const long unit = at.unit + u * LANES;
              if (n - unit >= LANES) store(to[r] + g * n + unit, *sum + load(bias + g * n + unit));
              else store_part(to[r] + g * n + unit, *sum + load_part(bias + g * n + unit, n - unit), n - unit);
            }
      }
    }
  }
}

// OpenMP's team, through the library that PyTorch has loaded: no second pool.
typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
typedef int (*Number)();

template <class Run> struct Job { const Run* call; Barrier* barrier; Number rank, size; };

template <class Run> void work(void* data) {
  const Job<Run>& job = *static_cast<Job<Run>*>(data);
  Team team;
  team.barrier = job.barrier;
  if (job.rank) team.rank = job.rank(), team.size = job.size();
  job.call->run(team);
}

template <class Run> void start(const Run& call, const void* const* threads, int count) {
  Barrier barrier[MOST_THREADS + 1];
  Job<Run> job{&call, barrier, nullptr, nullptr};
  if (count > 1 && threads[0]) {
    job.rank = Number(threads[1]), job.size = Number(threads[2]);
    const Parallel parallel = Parallel(threads[0]);
    parallel(work<Run>, &job, count < MOST_THREADS ? count : MOST_THREADS, 0);
  } else work<Run>(&job);
}

}  // namespace
