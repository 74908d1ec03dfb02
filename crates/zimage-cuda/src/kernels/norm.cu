// Root-mean-square norms of rows, with the residual sum before them: one block for each row, eight
// numbers for each thread, float32 between one load and one store.

// The factor of the norm, without its weight, for a row whose numbers `at` … `at + 7` are `v`.
__device__ __forceinline__ float inverse_rms(const float v[8], int width, float eps, float *shared) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++) sum += v[i] * v[i];
  return rsqrtf(block_sum(sum, shared) / width + eps);
}

// v = rms(v) · weight · factor; the factor is optional.
__device__ __forceinline__ void norm(float v[8], int at, int width, const bf16 *weight, const bf16 *factor, float eps,
                                     float *shared) {
  float w[8], inverse = inverse_rms(v, width, eps, shared);
  load8(weight + at, w);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = v[i] * inverse * w[i];
  if (factor == nullptr) return;
  load8(factor + at, w);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] *= w[i];
}

// Stores a row as bfloat16, or as float8 with a scale of its own.
__device__ __forceinline__ void put(float v[8], int row, int at, int width, bf16 *out, u8 *out8, float *out_scale,
                                    float *shared) {
  size_t place = (size_t)row * width + at;
  if (out8 == nullptr) {
    store8(out + place, v);
    return;
  }
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[i]));
  float by = float8_scale(block_max(largest, shared));
  store8(out8 + place, v, by);
  if (threadIdx.x == 0) out_scale[row] = by;
}

extern "C" __global__ void __launch_bounds__(1024) rms_norm(const bf16 *x, const bf16 *weight, const bf16 *factor,
                                                            float eps, int width, bf16 *out, u8 *out8,
                                                            float *out_scale) {
  __shared__ float shared[64];
  int row = blockIdx.x, at = threadIdx.x * 8;
  float v[8];
  load8(x + (size_t)row * width + at, v);
  norm(v, at, width, weight, factor, eps, shared);
  put(v, row, at, width, out, out8, out_scale, shared + 32);
}

// sum = x + rms(y) · y_weight · y_factor, or x + y without y_weight; then out = rms(sum) · weight ·
// factor, if there is a weight.
extern "C" __global__ void __launch_bounds__(1024) residual_norm(const bf16 *x, const bf16 *y, const bf16 *y_weight,
                                                                 const bf16 *y_factor, float y_eps, bf16 *sum,
                                                                 const bf16 *weight, const bf16 *factor, float eps,
                                                                 int width, bf16 *out, u8 *out8, float *out_scale) {
  __shared__ float shared[96];
  int row = blockIdx.x, at = threadIdx.x * 8;
  size_t place = (size_t)row * width + at;
  float v[8], w[8];
  load8(x + place, v);
  load8(y + place, w);
  if (y_weight != nullptr) norm(w, at, width, y_weight, y_factor, y_eps, shared);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += w[i];
  store8(sum + place, v);
  if (weight == nullptr) return;
  norm(v, at, width, weight, factor, eps, shared + 32);
  put(v, row, at, width, out, out8, out_scale, shared + 64);
}
