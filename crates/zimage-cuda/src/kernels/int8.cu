// Rows of plain numbers to 8-bit integers with a scale each, rotated before (ConvRot). The plain twin
// is `zimage-checkpoint`'s `int8.rs`, which has the sources of the facts.
//
// A block has a row, and goes over it twice: for the scale, and for the integers. Sums of the rotation
// are exact in double precision, so that both find the same bits.

// The types of the numbers; others than bfloat16 are rounded to it before.
const int FROM_BFLOAT16 = 0, FROM_FLOAT16 = 1;
// Numbers of a thread, and of a block at once.
const int EACH = 4, TILE = 256 * EACH;

__device__ __forceinline__ double number_at(const u8 *from, u64 at, int type) {
  if (type == FROM_BFLOAT16) return widen(((const bf16 *)from)[at]);
  float value = type == FROM_FLOAT16 ? half_at(from + 2 * at) : ((const float *)from)[at];
  return widen((bf16)to_bfloat16(value));
}

// The product of four numbers with the 4 × 4 matrix.
__device__ __forceinline__ void turn(double &a, double &b, double &c, double &d) {
  double sum = __dadd_rn(__dadd_rn(__dadd_rn(a, b), c), d);
  double e = __dadd_rn(sum, -__dadd_rn(d, d)), f = __dadd_rn(sum, -__dadd_rn(c, c));
  double g = __dadd_rn(sum, -__dadd_rn(b, b)), h = __dadd_rn(sum, -__dadd_rn(a, a));
  a = e; b = f; c = g; d = h;
}

struct Row {
  const u8 *from;
  u64 begin;
  int width, type, size;
  double root;
};

// The rotated numbers from column `first` on: those of a thread are 256 columns apart. Beyond the row
// they are 0.
__device__ __forceinline__ void rotated(const Row &row, int first, double *tile, double v[EACH]) {
  __syncthreads();
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    int at = i * 256 + threadIdx.x, column = first + at;
    tile[at] = column < row.width ? number_at(row.from, row.begin + column, row.type) : 0.0;
  }
  for (int step = 1; step < row.size; step *= 4) {
    __syncthreads();
    double *at = tile + threadIdx.x / step * 4 * step + threadIdx.x % step;
    turn(at[0], at[step], at[2 * step], at[3 * step]);
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < EACH; i++) v[i] = tile[i * 256 + threadIdx.x] * row.root;
}

// The integer nearest to `value` / `scale`, ties to even. Divisions in double precision are slow, and
// needed only near the middle of two integers.
__device__ __forceinline__ int nearest(double value, float scale, float inverse) {
  float about = __fmul_rn((float)value, inverse), whole = rintf(about);
  if (!(fabsf(fabsf(about - whole) - 0.5f) > 1e-3f)) {
    double exact = rint(value / (double)scale);
    if (exact != exact) return 0;
    return (int)fmin(fmax(exact, -128.0), 127.0);
  }
  return (int)fminf(fmaxf(whole, -128.0f), 127.0f);
}

// `size` is the rotation's, 1 for none, and `root` the inverse of its square root.
extern "C" __global__ void __launch_bounds__(256)
    make_int8(const u8 *from, int width, int type, int size, float root, u8 *values, float *scales) {
  __shared__ double tile[TILE];
  __shared__ float shared[32];
  Row row = {from, (u64)blockIdx.x * width, width, type, size, root};
  double v[EACH];
  float largest = 0.0f;
  for (int first = 0; first < width; first += TILE) {
    rotated(row, first, tile, v);
#pragma unroll
    for (int i = 0; i < EACH; i++) largest = fmaxf(largest, (float)fabs(v[i]));
  }
  largest = block_max(largest, shared);
  float scale = fmaxf(__fdiv_rn(largest, 127.0f), 1e-30f), inverse = __fdiv_rn(1.0f, scale);
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
  for (int first = 0; first < width; first += TILE) {
    rotated(row, first, tile, v);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      int column = first + i * 256 + threadIdx.x;
      if (column < width) values[row.begin + column] = (u8)nearest(v[i], scale, inverse);
    }
  }
}
