// The gated linear unit: rows of `width` gates and then `width` values become silu(gate) · value.

// Each thread processes eight numbers.
extern "C" __global__ void silu_gate(const bf16 *gates_values, int width, bf16 *out) {
  int at = (blockIdx.y * blockDim.x + threadIdx.x) * 8;
  if (at >= width) return;
  const bf16 *row = gates_values + (size_t)blockIdx.x * 2 * width;
  float g[8], v[8];
  load8(row + at, g);
  load8(row + width + at, v);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] *= silu(g[i]);
  store8(out + (size_t)blockIdx.x * width + at, v);
}

// The same as float8 with one scale for each row; one block for each row. Without GATED it only
// converts rows to float8.
template <bool GATED>
__device__ __forceinline__ void row_to_float8(const bf16 *row, int width, u8 *out, float *scale) {
  // Rows of up to PIECES · 8 · 1024 numbers.
  const int PIECES = 4;
  __shared__ float shared[32];
  float v[PIECES][8], largest = 0.0f;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int at = (p * blockDim.x + threadIdx.x) * 8;
    if (at >= width) continue;
    if (GATED) {
      float g[8];
      load8(row + at, g);
      load8(row + width + at, v[p]);
#pragma unroll
      for (int i = 0; i < 8; i++) v[p][i] *= silu(g[i]);
    } else {
      load8(row + at, v[p]);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[p][i]));
  }
  float by = float8_scale(block_max(largest, shared));
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int at = (p * blockDim.x + threadIdx.x) * 8;
    if (at < width) store8(out + at, v[p], by);
  }
  if (threadIdx.x == 0) *scale = by;
}

extern "C" __global__ void __launch_bounds__(1024) silu_gate_float8(const bf16 *gates_values, int width, u8 *out,
                                                                    float *scale) {
  size_t row = blockIdx.x;
  row_to_float8<true>(gates_values + row * 2 * width, width, out + row * width, scale + row);
}

extern "C" __global__ void __launch_bounds__(1024) float8_rows(const bf16 *x, int width, u8 *out, float *scale) {
  size_t row = blockIdx.x;
  row_to_float8<false>(x + row * width, width, out + row * width, scale + row);
}
