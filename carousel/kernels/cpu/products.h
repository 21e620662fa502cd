// Products of small runs backwards. T: float or double.
#include <cstdint>

struct Job {
  const T *a, *b;  // b null: of ones
  T* c;
  int64_t turned, rows, m, n, a_stride, b_stride, c_stride;  // strides: numbers from one row to the next
};

// c += aᵀ b, a (rows, m), b (rows, n); turned: c (rows, n) += a b, b (m, n).
static void multiply(const Job& job) {
  const T one = 1;
  for (int64_t r = 0; r < job.rows; ++r)
    for (int64_t i = 0; i < job.m; ++i) {
      const T x = job.a[r * job.a_stride + i];
      const T* b = job.b ? job.b + (job.turned ? i : r) * job.b_stride : &one;
      T* c = job.c + (job.turned ? r : i) * job.c_stride;
      for (int64_t j = 0; j < job.n; ++j) c[j] += x * b[j];
    }
}

extern "C" void carousel_multiply(const Job* jobs, int64_t count) {
  for (int64_t k = 0; k < count; ++k) multiply(jobs[k]);
}
