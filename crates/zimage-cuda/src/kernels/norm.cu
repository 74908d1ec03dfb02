// Root-mean-square norms of rows, with the residual sum before them: one block a row, eight
// numbers a thread, everything in float32 between one load and one store.

// The row's number at `at` … `at + 7`, whose norm (without its scale) is v · the result.
__device__ __forceinline__ float inverse_rms(const float v[8], int width, float eps, float *shared) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++) sum += v[i] * v[i];
  return rsqrtf(block_sum(sum, shared) / width + eps);
}

// out = rms(x) · scale, as bfloat16, or as float8 with the row's own scale.
__device__ __forceinline__ void put_norm(float v[8], int row, int at, int width, const float *scale, float eps,
                                         bf16 *out, u8 *out8, float *out_scale, float *shared) {
  float s[8], inverse = inverse_rms(v, width, eps, shared);
  load8(scale + at, s);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = v[i] * inverse * s[i];
  size_t place = (size_t)row * width + at;
  if (out8 == nullptr) {
    store8(out + place, v);
    return;
  }
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[i]));
  float by = float8_scale(block_max(largest, shared + 32));
  store8(out8 + place, v, by);
  if (threadIdx.x == 0) out_scale[row] = by;
}

extern "C" __global__ void __launch_bounds__(1024) rms_norm(const bf16 *x, const float *scale, float eps, int width,
                                                        bf16 *out, u8 *out8, float *out_scale) {
  __shared__ float shared[64];
  int row = blockIdx.x, at = threadIdx.x * 8;
  float v[8];
  load8(x + (size_t)row * width + at, v);
  put_norm(v, row, at, width, scale, eps, out, out8, out_scale, shared);
}

// sum = x + rms(y) · y_scale, or x + y without a y_scale; then out = rms(sum) · scale, unless
// there is no scale.
extern "C" __global__ void __launch_bounds__(1024) residual_norm(const bf16 *x, const bf16 *y, const float *y_scale,
                                                                 float y_eps, bf16 *sum, const float *scale, float eps,
                                                                 int width, bf16 *out, u8 *out8, float *out_scale) {
  __shared__ float shared[96];
  int row = blockIdx.x, at = threadIdx.x * 8;
  size_t place = (size_t)row * width + at;
  float v[8], w[8];
  load8(x + place, v);
  load8(y + place, w);
  if (y_scale != nullptr) {
    float s[8], inverse = inverse_rms(w, width, y_eps, shared + 64);
    load8(y_scale + at, s);
#pragma unroll
    for (int i = 0; i < 8; i++) w[i] = w[i] * inverse * s[i];
  }
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += w[i];
  store8(sum + place, v);
  if (scale != nullptr) put_norm(v, row, at, width, scale, eps, out, out8, out_scale, shared);
}
