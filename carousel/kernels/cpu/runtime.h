// What every generated kernel stands on: vectors, functions of vectors (functions.h), a team of threads, and what products.cpp has
// for all kernels: matrix products, packing, threads. No header of C++'s library that a compiler reads for long.
// Vector extensions that GCC and Clang share; T (float or double) and WIDTH (bytes of a vector) come from the command line.
// With BFLOAT (AVX-512 alone), T is float, and what is multiplied is rounded to bfloat16; sums and all else stay float. With INT8,
// T is float, weights have 8 bits, and only runs forwards are compiled.
#pragma once
#include <cstdint>
#include <cstring>

namespace {

template <int BYTES> struct Integer { typedef int32_t type; };
template <> struct Integer<8> { typedef int64_t type; };
typedef Integer<sizeof(T)>::type I;
typedef T V __attribute__((vector_size(WIDTH)));
typedef I M __attribute__((vector_size(WIDTH)));  // conditions: all bits set where true
constexpr int LANES = WIDTH / sizeof(T);
constexpr bool SINGLE = sizeof(T) == 4;
constexpr T INFINITE = __builtin_inf();

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

// ---------------------------------------------------------------- tiles
//
// A tile is some rows times some sums, a sum being LANES units of one product. Weights are packed so that the vectors
// of a tile of units lie together: [tile][depth][sum][lane].

constexpr int REGISTERS = WIDTH == 64 ? 24 : 12;  // vector registers that a tile may fill
constexpr int MOST_ROWS = 8;

constexpr int rows_of(int sums) { return sums >= REGISTERS ? 1 : REGISTERS / sums < MOST_ROWS ? REGISTERS / sums : MOST_ROWS; }

// UNITS: sums of a tile where a product gives one a unit: neighbouring blocks. PAIR: numbers of a row that are multiplied at once.
// packed: numbers of T that a lane has in a panel.
#if defined(INT8)
constexpr int UNITS = WIDTH == 64 ? 8 : 2;  // a row is rounded for each tile
constexpr int PAIR = 2;
constexpr long words(long depth) { return (depth + 3) / 4 * 2; }
constexpr long packed(long depth) { return 1 + words(depth) / 2; }  // the scale, and four numbers in the place of one
#else
constexpr int UNITS = WIDTH == 64 ? 4 : 2;
#ifdef BFLOAT
constexpr int PAIR = 2;
#else
constexpr int PAIR = 1;
#endif
constexpr long words(long depth) { return (depth + PAIR - 1) / PAIR; }
constexpr long packed(long depth) { return words(depth); }
#endif
constexpr int units_of(int sums) { return sums * 2 > UNITS ? 1 : UNITS / sums; }

// How a stage whose largest product has G sums a unit is cut into tiles: neighbouring blocks of units, and rows.
template <int G> struct Tiling {
  static constexpr int MOST_UNITS = units_of(G);
  static constexpr int ROWS = rows_of(G * MOST_UNITS);
};

}  // namespace

// What kernels and products.cpp know in common. Hidden: each kernel has its own.
namespace carousel __attribute__((visibility("hidden"))) {

// result[row][sum] = sum over k of x[row][k] * panel[k][sum], added to result where `more`: of rows `stride` numbers apart, as many as
// a tile has at most, or of those whose `numbers` are given.
void product(int rows, int sums, const T* x, long stride, const int64_t* numbers, const T* panel, long depth, V* result, bool more);

// ---------------------------------------------------------------- threads

struct Range { long from, to; };

inline Range share(long n, long parts, long part) { return {n * part / parts, n * (part + 1) / parts}; }

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

struct Barrier;

// Which rows and which units of each stage a thread has: rows are dealt out first, because threads that share no row
// need not wait for one another before the end; units are divided where there are too few rows.
struct Team {
  int rank = 0, size = 1, across = 1;  // `across`: threads that share the same rows
  bool levels = false;
  Range rows{0, 0};
  Barrier* barrier = nullptr;
  int column() const { return rank % across; }
  int group() const { return rank / across; }
  void wait() const { if (across > 1) meet(1 + group(), across); }
  void wait_all() const { if (size > 1) meet(0, size); }
  void meet(int at, int threads) const;  // so many threads wait for one another
  // The share of a stage's tiles of units. Where threads share rows, smaller tiles are shared out more evenly.
  int units(int most) const { return across > 1 ? 1 : most; }
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

// Some dense weights with the same operand, each with its own row stride, and so many columns before it in its rows.
struct Dense { const T* const* w; const long* stride; const long* begin; int count; };

// For sums of them: panel[tile][k][u * count + g][lane] = w[g][unit][k], PAIR of them a word.
void pack(Dense weights, T* panel, long depth, const Cut& cut, const Team& team);

// For sums over the units of all of them, of what they are multiplied with: panel[tile][g * rows + k][u][lane] = w[g][k][unit].
// ``own``: each head has rows and columns of its own.
void pack_transposed(Dense weights, T* panel, long rows, const Cut& cut, const Team& team, bool own);

// What needs the input alone, for the steps [begin, end): e[step][row][g * n + unit] = w[g] @ x[row of step] + bias, of G weights; `sums`: of a tile.
void hoist(const Steps& steps, const Team& team, long begin, long end, const T* x, long depth, const T* panel, const T* bias, T* e, long n, int G, V* sums);

// Runs a call with a team of `count` threads at most, by OpenMP's functions.
void start(void (*run)(const void* call, Team team), const void* call, const void* const* threads, int count);

}  // namespace carousel

namespace {

using namespace carousel;

// Weights by value.
template <int G> struct Weights {
  const T* w[G];
  long stride[G], begin[G];
  operator Dense() const { return {w, stride, begin, G}; }
};

template <int G> void hoist(const Steps& steps, const Team& team, long begin, long end, const T* x, long depth, const T* panel, const T* bias, T* e, long n) {
  V sums[Tiling<G>::ROWS * Tiling<G>::MOST_UNITS * G];
  hoist(steps, team, begin, end, x, depth, panel, bias, e, n, G, sums);
}

template <class Run> void work(const void* call, Team team) { static_cast<const Run*>(call)->run(team); }
template <class Run> void start(const Run& call, const void* const* threads, int count) { start(work<Run>, &call, threads, count); }

// ---------------------------------------------------------------- over units

// The numbers of all lanes.
template <int N, int... K> struct Counted : Counted<N - 1, N - 1, K...> {};
template <int... K> struct Counted<0, K...> { static constexpr M LANE = M{K...}; };

// The first n lanes of a vector, the others at `rest`.
template <bool TAIL> inline V only(V v, long n, T rest) {
  if constexpr (TAIL) return select(Counted<LANES>::LANE < I(n), v, all(rest));
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

inline void begin_max(T* p) { store(p, all(-INFINITE)); }
template <bool TAIL> inline void gather_max(T* p, V v, long n) { store(p, maximum(load(p), only<TAIL>(v, n, -INFINITE))); }

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
    V most = all(-INFINITE);
    for (int k = 0; k < team.across; ++k) most = maximum(most, load(partial + ((team.rank - team.column() + k) * batch + row + r) * LANES));
    found[r] = largest(most);
  }
  return found;
}

// Of a set of rows, one after the other, the sum of some units; of several sets, the sums of one number a row.
template <bool TAIL> inline V together(const T* p, long width, long from, long to, long n) {
  V sum{};
  for (long row = from; row < to; ++row) sum += load<TAIL>(p + row * width, n);
  return sum;
}
template <bool TAIL> inline V together_rows(const T* p, const int64_t* begin, long first, long n) {
  V sum{};
  for (long r = 0; r < n; ++r)
    for (long row = begin[r]; row < begin[r + 1]; ++row) sum[r] += p[row - first];
  return sum;
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

// The same of rows whose numbers are given, counted from `begin`.
template <bool TAIL> inline V load_numbered(const T* p, long width, const int64_t* numbers, long begin, long n) {
  V v{};
  for (long r = 0; r < n; ++r) v[r] = p[(numbers[r] - begin) * width];
  return v;
}
template <bool TAIL> inline void store_numbered(T* p, const int64_t* numbers, V v, long n) {
  for (long r = 0; r < n; ++r) p[numbers[r]] = v[r];
}

}  // namespace
