// Calls one function of a kernel that stands beside it with the arrays of a file, and writes the arrays back:
// how many bytes each has (-1: null), then all bytes; then how many numbers, and the numbers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" void carousel_forward(void* const*, const int64_t*, const void* const*);
extern "C" void carousel_backward(void* const*, const int64_t*, const void* const*);
extern "C" void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);
extern "C" int omp_get_thread_num();
extern "C" int omp_get_num_threads();

static std::vector<int64_t> read_numbers(FILE* file) {
  int64_t count;
  if (fread(&count, 8, 1, file) != 1) abort();
  std::vector<int64_t> numbers(count);
  if (fread(numbers.data(), 8, count, file) != size_t(count)) abort();
  return numbers;
}

int main(int, char** given) {
  FILE* file = fopen(given[2], "rb");
  const std::vector<int64_t> sizes = read_numbers(file), numbers = read_numbers(file);
  std::vector<void*> arrays;
  for (const int64_t bytes : sizes) {
    arrays.push_back(bytes < 0 ? nullptr : malloc(bytes + 1));
    if (bytes > 0 && fread(arrays.back(), 1, bytes, file) != size_t(bytes)) abort();
  }
  fclose(file);
  const void* threads[] = {(const void*)GOMP_parallel, (const void*)omp_get_thread_num, (const void*)omp_get_num_threads};
  (strcmp(given[1], "forward") ? carousel_backward : carousel_forward)(arrays.data(), numbers.data(), threads);
  file = fopen(given[2], "wb");
  for (size_t k = 0; k < sizes.size(); ++k)
    if (sizes[k] > 0) fwrite(arrays[k], 1, sizes[k], file);
  return fclose(file);
}
