// What all kernels of one type and one set of flags have in common, compiled once and linked with each: matrix products of tiles,
// packing of weights, threads, and the products of small runs backwards.
#include <atomic>
#include <utility>
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif
#if defined(BFLOAT) || (defined(INT8) && defined(__SSE2__))
#include <immintrin.h>
#endif

#include "runtime.h"

namespace {

// ---------------------------------------------------------------- matrix products

// What is multiplied at once: a Word of a row with Words of weights, PAIR numbers deep; a lane of them has a Packed in a panel.
#if defined(INT8)
#include "int8.h"
#else
#if defined(BFLOAT)
typedef I Word;  // two numbers of bfloat16, the first in the lower half
typedef M Words;
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
inline Word word(T a, T) { return a; }
inline Words row_words(const T* x, long n) { return n < LANES ? load_part(x, n) : load(x); }
inline V add_product(V sum, Word x, Words w) { return sum + x * w; }
#endif

typedef Word Packed;
typedef V Sum;
struct Scales {};
inline V scaled(Sum total, const Scales&, int, int) { return total; }
inline Words load_words(const Packed* p) { Words v; std::memcpy(&v, p, WIDTH); return v; }
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

typedef void Multiply(const Word* const* rows, const Packed* panel, long depth, Scales scales, V* result, bool more);

constexpr int MOST_SUMS = 12;  // of a tile with code of its own

template <int R, int C> constexpr Multiply* tile() {
  if constexpr (R <= rows_of(C)) return multiply<R, C>;
  else return nullptr;
}

#define TILES_OF(C) {tile<1, C>(), tile<2, C>(), tile<3, C>(), tile<4, C>(), tile<5, C>(), tile<6, C>(), tile<7, C>(), tile<8, C>()}
constexpr Multiply* TILES[MOST_SUMS][MOST_ROWS] = {
    TILES_OF(1), TILES_OF(2), TILES_OF(3), TILES_OF(4), TILES_OF(5), TILES_OF(6),
    TILES_OF(7), TILES_OF(8), TILES_OF(9), TILES_OF(10), TILES_OF(11), TILES_OF(12)};

// The sums of a row from `c` on, C at once while there are as many. Each is added up in the order of a tile of one row.
template <int C> void multiply_wide(int c, int sums, const Word* x, const Packed* panel, long depth, Scales scales, V* result, bool more) {
  for (; c + C <= sums; c += C) {
    Sum total[C] = {};
    for (long k = 0; k < depth; ++k)
#pragma GCC unroll 8
      for (int j = 0; j < C; ++j) total[j] = add_product(total[j], x[k], load_words(panel + (k * sums + c + j) * LANES));
    for (int j = 0; j < C; ++j) {
      const V found = scaled(total[j], scales, 0, c + j);
      result[c + j] = more ? result[c + j] + found : found;
    }
  }
  if constexpr (C > 1) multiply_wide<C / 2>(c, sums, x, panel, depth, scales, result, more);
}

inline void multiply_words(int rows, int sums, const Word* const* x, const Packed* panel, long depth, Scales scales, V* result, bool more) {
  if (sums <= MOST_SUMS) TILES[sums - 1][rows - 1](x, panel, depth, scales, result, more);
  else multiply_wide<8>(0, sums, x[0], panel, depth, scales, result, more);  // such a tile has one row
}

inline void multiply(int rows, int sums, const T* const* x, const T* panel, long depth, V* result, bool more) {
#if defined(BFLOAT) || defined(INT8)
  alignas(64) Word rounded[MOST_ROWS][PIECE / PAIR];
  const Word* each[MOST_ROWS];
  for (int r = 0; r < rows; ++r) each[r] = rounded[r];
#ifdef INT8
  T scales[MOST_ROWS];
  const Packed* weights = (const Packed*)(panel + sums * LANES);
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
    multiply_words(rows, sums, each, weights + k / PAIR * sums * LANES, words(n), of, result, more || k > 0);
  }
#else
  multiply_words(rows, sums, x, panel, depth, Scales{}, result, more);
#endif
}

// ---------------------------------------------------------------- threads

}  // namespace

// Threads wait here for one another. Each call is one round: the last to come opens the door for all. What was written before
// the barrier is seen after it: the counter is acquired and released by every thread, the round by those that leave.
struct alignas(64) carousel::Barrier {
  std::atomic<int> come{0};
  alignas(64) std::atomic<int> round{0};
  void wait(int threads) {
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

namespace {

constexpr int MOST_THREADS = 256;

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

// OpenMP's team, through the library that PyTorch has loaded: no second pool.
typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
typedef int (*Number)();

struct Job { void (*run)(const void*, Team); const void* call; Barrier* barrier; Number rank, size; };

void work_on(void* data) {
  const Job& job = *static_cast<Job*>(data);
  Team team;
  team.barrier = job.barrier;
  if (job.rank) team.rank = job.rank(), team.size = job.size();
  job.run(job.call, team);
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

}  // namespace

namespace carousel {

void product(int rows, int sums, const T* x, long stride, const int64_t* numbers, const T* panel, long depth, V* result, bool more) {
  const T* each[MOST_ROWS];
  for (int r = 0; r < rows; ++r) each[r] = x + (numbers ? numbers[r] : r) * stride;
  multiply(rows, sums, each, panel, depth, result, more);
}

void Team::meet(int at, int threads) const { barrier[at].wait(threads); }

void Team::divide(const Steps& steps, long blocks, double depth, int most_rows) {
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

void start(void (*run)(const void*, Team), const void* call, const void* const* threads, int count) {
  Barrier barrier[MOST_THREADS + 1];
  Job job{run, call, barrier, nullptr, nullptr};
  if (count > 1 && threads[0]) {
    job.rank = Number(threads[1]), job.size = Number(threads[2]);
    const Parallel parallel = Parallel(threads[0]);
    parallel(work_on, &job, count < MOST_THREADS ? count : MOST_THREADS, 0);
  } else work_on(&job);
}

#ifdef INT8
// PAIR of them a Packed, behind the scales of all lanes.
void pack(Dense weights, T* panel, long depth, const Cut& cut, const Team& team) {
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
// Blocks of heads lie one below the other, so that a unit's row is where it would be in a whole weight.
void pack(Dense weights, T* panel, long depth, const Cut& cut, const Team& team) {
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

void pack_transposed(Dense weights, T* panel, long rows, const Cut& cut, const Team& team, bool own) {
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

// The rows of several steps share a tile, so that few rows a step do not mean small tiles.
void hoist(const Steps& steps, const Team& team, long begin, long end, const T* x, long depth, const T* panel, const T* bias, T* e, long n, int G, V* sums) {
  const int most_units = units_of(G), most_rows = rows_of(G * most_units), most = most_rows * 32;
  const Cut cut(n, 1, team.units(most_units));
  const Range tiles = team.tiles(cut);
  const T* from[MOST_ROWS * 32];
  T* to[MOST_ROWS * 32];
  long step = begin, row = team.rows_among(steps.rows[begin]).from;
  while (step < end) {
    int have = 0;
    for (; step < end && have < most; ++step, row = step < end ? team.rows_among(steps.rows[step]).from : 0) {
      const long last = team.rows_among(steps.rows[step]).to;
      for (; row < last && have < most; ++row, ++have) {
        from[have] = x + (steps.at[step] + row) * depth;
        to[have] = e + ((step - begin) * steps.batch + row) * G * n;
      }
      if (row < last) break;  // full: this step goes on
    }
    const long count = (have + most_rows - 1) / most_rows;
    for (long tile = tiles.from; tile < tiles.to; ++tile) {
      const Piece at = cut.at(tile);
      for (long k = 0; k < count; ++k) {
        const Range part = share(have, count, k);
        multiply(int(part.to - part.from), at.wide * G, from + part.from, panel + at.block * G * LANES * packed(depth), depth, sums, false);
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

}  // namespace carousel

// ---------------------------------------------------------------- products of small runs backwards

namespace {

struct Small {
  const T *a, *b;  // b null: of ones
  T* c;
  int64_t turned, rows, m, n, a_stride, b_stride, c_stride;  // strides: numbers from one row to the next
};

// c += aᵀ b, a (rows, m), b (rows, n); turned: c (rows, n) += a b, b (m, n).
void multiply_small(const Small& job) {
  const T one = 1;
  for (int64_t r = 0; r < job.rows; ++r)
    for (int64_t i = 0; i < job.m; ++i) {
      const T x = job.a[r * job.a_stride + i];
      const T* b = job.b ? job.b + (job.turned ? i : r) * job.b_stride : &one;
      T* c = job.c + (job.turned ? r : i) * job.c_stride;
      for (int64_t j = 0; j < job.n; ++j) c[j] += x * b[j];
    }
}

}  // namespace

extern "C" void carousel_multiply(const Small* jobs, int64_t count) {
  for (int64_t k = 0; k < count; ++k) multiply_small(jobs[k]);
}
