// Expansion of encoded weights to bfloat16, float16 or float32: GGML's blocks, float8, and ComfyUI's
// scaled formats. The plain twin is `zimage-checkpoint`'s `expand`, which has the sources of the
// facts: each number is computed in its order, without fused multiply-adds, and rounded once.
//
// A thread has eight numbers in a row, so a warp stores 512 bytes side by side; the bytes that the
// numbers of a block share come from the first cache. Kernels of rotated formats have 16 numbers a
// thread, and exchange them in shared memory.

// The types of the result.
const int TO_BFLOAT16 = 0, TO_FLOAT16 = 1;

typedef signed char i8;

__device__ __forceinline__ float mul(float a, float b) { return __fmul_rn(a, b); }

__device__ __forceinline__ float float_at(const u8 *at) { return *(const float *)at; }

__device__ __forceinline__ float from_e4m3(u32 bits) {
  u32 size = bits & 0x7f;
  float finite = mul(__uint_as_float(size << 20), __uint_as_float((127 + 120) << 23));
  u32 special = size == 0x7f ? 0x7ff00000u : 0;
  return __uint_as_float(__float_as_uint(finite) | special | (bits & 0x80) << 24);
}

// The upper half of a float16.
__device__ __forceinline__ float from_e5m2(u32 bits) {
  u32 size = (bits & 0x7f) << 8;
  float finite = mul(__uint_as_float(size << 13), __uint_as_float((127 + 112) << 23));
  u32 special = size >= 0x7c00 ? 0x7f800000u : 0;
  return __uint_as_float(__float_as_uint(finite) | special | (bits & 0x80) << 24);
}

__device__ __forceinline__ u32 to_float16(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return value != value ? 0x7e00 : bits;
}

// Stores number `at` of the result.
__device__ __forceinline__ void store1(void *out, u64 at, float value, int type) {
  if (type == TO_BFLOAT16) ((unsigned short *)out)[at] = (unsigned short)to_bfloat16(value);
  else if (type == TO_FLOAT16) ((unsigned short *)out)[at] = (unsigned short)to_float16(value);
  else ((float *)out)[at] = value;
}

// Stores the numbers from `at` on: eight at once where all are there and the address allows it.
__device__ __forceinline__ void store8(void *out, u64 at, u64 count, const float v[8], int type) {
  u64 address = (u64)out + at * (type == TO_BFLOAT16 || type == TO_FLOAT16 ? 2 : 4);
  if (at + 8 <= count && address % 16 == 0) {
    if (type == TO_BFLOAT16 || type == TO_FLOAT16) {
      u32 w[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        w[i] = type == TO_BFLOAT16 ? to_bfloat16(v[2 * i]) | to_bfloat16(v[2 * i + 1]) << 16
                                   : to_float16(v[2 * i]) | to_float16(v[2 * i + 1]) << 16;
      }
      *(uint4 *)address = make_uint4(w[0], w[1], w[2], w[3]);
    } else {
      ((float4 *)address)[0] = make_float4(v[0], v[1], v[2], v[3]);
      ((float4 *)address)[1] = make_float4(v[4], v[5], v[6], v[7]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    if (at + i < count) store1(out, at + i, v[i], type);
  }
}

// Eight bytes at an address that is a multiple of ALIGN.
template <int ALIGN> __device__ __forceinline__ void load8(const u8 *from, u8 b[8]) {
  u32 w[2];
  if (ALIGN >= 8) {
    uint2 both = *(const uint2 *)from;
    w[0] = both.x; w[1] = both.y;
  } else if (ALIGN >= 4) {
    w[0] = ((const u32 *)from)[0]; w[1] = ((const u32 *)from)[1];
  } else {
    const unsigned short *s = (const unsigned short *)from;
    w[0] = s[0] | (u32)s[1] << 16; w[1] = s[2] | (u32)s[3] << 16;
  }
#pragma unroll
  for (int i = 0; i < 8; i++) b[i] = (u8)(w[i / 4] >> (8 * (i % 4)));
}

__constant__ float IQ4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
__constant__ float E2M1[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};

// A block type: its sizes, and the numbers 8 `part` … 8 `part` + 7 of a block.

// Types of 32 numbers with 4-bit codes: the low halves of 16 bytes, then their high halves.
template <int ALIGN> __device__ __forceinline__ void codes8(const u8 *packed, int part, u8 b[8]) {
  load8<ALIGN>(packed + part % 2 * 8, b);
#pragma unroll
  for (int i = 0; i < 8; i++) b[i] = part < 2 ? b[i] & 15 : b[i] >> 4;
}

__device__ __forceinline__ u32 word_at(const u8 *at) {
  const unsigned short *s = (const unsigned short *)at;
  return s[0] | (u32)s[1] << 16;
}

struct Q4_0 {
  static const int BYTES = 18, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block);
    u8 b[8];
    codes8<2>(block + 2, part, b);
    for (int i = 0; i < 8; i++) v[i] = mul(d, (float)b[i] - 8.0f);
  }
};

struct Q4_1 {
  static const int BYTES = 20, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block), m = half_at(block + 2);
    u8 b[8];
    codes8<4>(block + 4, part, b);
    for (int i = 0; i < 8; i++) v[i] = __fadd_rn(mul(d, (float)b[i]), m);
  }
};

struct Q5_0 {
  static const int BYTES = 22, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block);
    u32 fifth = word_at(block + 2) >> (part * 8);
    u8 b[8];
    codes8<2>(block + 6, part, b);
    for (int i = 0; i < 8; i++) v[i] = mul(d, (float)(b[i] | (fifth >> i & 1) << 4) - 16.0f);
  }
};

struct Q5_1 {
  static const int BYTES = 24, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block), m = half_at(block + 2);
    u32 fifth = word_at(block + 4) >> (part * 8);
    u8 b[8];
    codes8<8>(block + 8, part, b);
    for (int i = 0; i < 8; i++) v[i] = __fadd_rn(mul(d, (float)(b[i] | (fifth >> i & 1) << 4)), m);
  }
};

struct Q8_0 {
  static const int BYTES = 34, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block);
    u8 b[8];
    load8<2>(block + 2 + part * 8, b);
    for (int i = 0; i < 8; i++) v[i] = mul((float)(i8)b[i], d);
  }
};

struct IQ4_NL {
  static const int BYTES = 18, NUMBERS = 32;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    float d = half_at(block);
    u8 b[8];
    codes8<2>(block + 2, part, b);
    for (int i = 0; i < 8; i++) v[i] = mul(d, IQ4[b[i]]);
  }
};

// Types of 256 numbers: `group` is one of 16 groups of 16 numbers, or of 8 groups of 32.

struct Q2_K {
  static const int BYTES = 84, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 2;
    u32 scale = block[group];
    float dl = mul(half_at(block + 80), (float)(scale & 15)), ml = mul(half_at(block + 82), (float)(scale >> 4));
    int shift = group % 8 / 2 * 2;
    u8 b[8];
    load8<4>(block + 16 + group / 8 * 32 + group % 2 * 16 + part % 2 * 8, b);
    for (int i = 0; i < 8; i++) v[i] = __fsub_rn(mul(dl, (float)(b[i] >> shift & 3)), ml);
  }
};

struct Q3_K {
  static const int BYTES = 110, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 2;
    u32 low = block[96 + group % 8] >> (group / 8 * 4) & 15;
    u32 high = block[104 + group % 4] >> (group / 4 * 2) & 3;
    float dl = mul(half_at(block + 108), (float)(low | high << 4) - 32.0f);
    int shift = group % 8 / 2 * 2, bit = group / 2, odd = group % 2 * 16 + part % 2 * 8;
    u8 b[8], mask[8];
    load8<2>(block + 32 + group / 8 * 32 + odd, b);
    load8<2>(block + odd, mask);
    for (int i = 0; i < 8; i++) {
      v[i] = mul(dl, (float)(b[i] >> shift & 3) - (float)((~mask[i] >> bit & 1) << 2));
    }
  }
};

// Scale and minimum of 32 numbers of Q4_K and Q5_K: 6 bits each in 12 bytes.
__device__ __forceinline__ void scale_min(const u8 *packed, int group, float &scale, float &min) {
  u32 s, m;
  if (group < 4) {
    s = packed[group] & 63; m = packed[group + 4] & 63;
  } else {
    u32 low = packed[group + 4];
    s = (low & 15) | packed[group - 4] >> 6 << 4; m = low >> 4 | packed[group] >> 6 << 4;
  }
  scale = (float)s; min = (float)m;
}

struct Q4_K {
  static const int BYTES = 144, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 4, shift = group % 2 * 4;
    float scale, min;
    scale_min(block + 4, group, scale, min);
    float d = mul(half_at(block), scale), m = mul(half_at(block + 2), min);
    u8 b[8];
    load8<8>(block + 16 + group / 2 * 32 + part % 4 * 8, b);
    for (int i = 0; i < 8; i++) v[i] = __fsub_rn(mul(d, (float)(b[i] >> shift & 15)), m);
  }
};

struct Q5_K {
  static const int BYTES = 176, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 4, shift = group % 2 * 4;
    float scale, min;
    scale_min(block + 4, group, scale, min);
    float d = mul(half_at(block), scale), m = mul(half_at(block + 2), min);
    u8 b[8], high[8];
    load8<8>(block + 48 + group / 2 * 32 + part % 4 * 8, b);
    load8<8>(block + 16 + part % 4 * 8, high);
    for (int i = 0; i < 8; i++) {
      v[i] = __fsub_rn(mul(d, (float)((b[i] >> shift & 15) | (high[i] >> group & 1) << 4)), m);
    }
  }
};

struct Q6_K {
  static const int BYTES = 210, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 2, side = group / 8, quarter = group % 8 / 2, odd = group % 2 * 16 + part % 2 * 8;
    float d = mul(half_at(block + 208), (float)(i8)block[192 + group]);
    u8 low[8], high[8];
    load8<2>(block + side * 64 + quarter % 2 * 32 + odd, low);
    load8<2>(block + 128 + side * 32 + odd, high);
    for (int i = 0; i < 8; i++) {
      u32 code = (low[i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
      v[i] = mul(d, (float)code - 32.0f);
    }
  }
};

struct IQ4_XS {
  static const int BYTES = 136, NUMBERS = 256;
  static __device__ void decode(const u8 *block, int part, float v[8]) {
    int group = part / 4;
    u32 low = block[4 + group / 2] >> (group % 2 * 4) & 15;
    u32 high = *(const unsigned short *)(block + 2) >> (2 * group) & 3;
    float dl = mul(half_at(block), (float)(low | high << 4) - 32.0f);
    u8 b[8];
    codes8<8>(block + 8 + group * 16, part % 4, b);
    for (int i = 0; i < 8; i++) v[i] = mul(dl, IQ4[b[i]]);
  }
};

template <class Block> __device__ __forceinline__ void blocks(const u8 *from, u64 numbers, void *out, int type) {
  u64 thread = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (thread * 8 >= numbers) return;
  const u64 each = Block::NUMBERS / 8;
  float v[8];
  Block::decode(from + thread / each * Block::BYTES, (int)(thread % each), v);
  store8(out, thread * 8, numbers, v, type);
}

#define BLOCKS(name, Block)                                                                               \
  extern "C" __global__ void __launch_bounds__(256) name(const u8 *from, u64 numbers, void *out, int type) { \
    blocks<Block>(from, numbers, out, type);                                                              \
  }
BLOCKS(expand_q4_0, Q4_0)
BLOCKS(expand_q4_1, Q4_1)
BLOCKS(expand_q5_0, Q5_0)
BLOCKS(expand_q5_1, Q5_1)
BLOCKS(expand_q8_0, Q8_0)
BLOCKS(expand_q2_k, Q2_K)
BLOCKS(expand_q3_k, Q3_K)
BLOCKS(expand_q4_k, Q4_K)
BLOCKS(expand_q5_k, Q5_K)
BLOCKS(expand_q6_k, Q6_K)
BLOCKS(expand_iq4_nl, IQ4_NL)
BLOCKS(expand_iq4_xs, IQ4_XS)

// Types of one byte a number. `scales` is null, one number, or with `by_row` one for each row.
const int BYTE_E4M3 = 0, BYTE_E5M2 = 1;

extern "C" __global__ void __launch_bounds__(256)
    expand_bytes(const u8 *from, const u8 *scales, u64 numbers, int width, int by_row, int byte, void *out, int type) {
  u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (first >= numbers) return;
  float v[8];
  u8 b[8];
  if (first + 8 <= numbers) load8<8>(from + first, b);
  else for (int i = 0; i < 8; i++) b[i] = first + i < numbers ? from[first + i] : 0;
  for (int i = 0; i < 8; i++) {
    v[i] = byte == BYTE_E4M3 ? from_e4m3(b[i]) : byte == BYTE_E5M2 ? from_e5m2(b[i]) : (float)(i8)b[i];
    if (scales && first + i < numbers) {
      v[i] = mul(v[i], float_at(scales + (by_row ? (first + i) / width * 4 : 0)));
    }
  }
  store8(out, first, numbers, v, type);
}

// The place of a block's scale in tiles of 128 rows and 4 columns.
__device__ __forceinline__ u64 tiled(u64 row, int block, int blocks) {
  u64 tile = row / 128 * ((blocks + 3) / 4) + block / 4;
  return tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4;
}

extern "C" __global__ void __launch_bounds__(256)
    expand_mxfp8(const u8 *from, const u8 *scales, u64 numbers, int width, int first_row, void *out, int type) {
  u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (first >= numbers) return;
  int block = (int)(first % width / 32);
  float scale = __uint_as_float((u32)scales[tiled(first_row + first / width, block, width / 32)] << 23);
  float v[8];
  u8 b[8];
  load8<8>(from + first, b);
  for (int i = 0; i < 8; i++) v[i] = mul(from_e4m3(b[i]), scale);
  store8(out, first, numbers, v, type);
}

extern "C" __global__ void __launch_bounds__(256)
    expand_nvfp4(const u8 *from, const u8 *scales, const u8 *all, u64 numbers, int width, int first_row, void *out,
                 int type) {
  u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (first >= numbers) return;
  int block = (int)(first % width / 16);
  float scale = mul(float_at(all), from_e4m3(scales[tiled(first_row + first / width, block, width / 16)]));
  u32 packed = *(const u32 *)(from + first / 2);
  float v[8];
  for (int i = 0; i < 8; i++) v[i] = mul(E2M1[packed >> (i / 2 * 8 + (i % 2 ? 0 : 4)) & 15], scale);
  store8(out, first, numbers, v, type);
}

// Rotated formats: rows of integers of 4, 6 or 8 bits.
struct Rows {
  const u8 *from, *relative, *table;
  // Numbers of a row, and of a group of `relative` scales, which are float8 or float32.
  int width, bits, group, wide;
};

// The integer at `column` of a row, as it stands for in the rotated weight.
__device__ __forceinline__ int integer(const Rows &rows, u64 row, int column) {
  if (rows.bits == 8) return (i8)rows.from[row * rows.width + column];
  if (!rows.relative) {
    u32 byte = rows.from[row * (rows.width / 2) + column / 2];
    return (int)((column % 2 ? byte >> 4 : byte & 15) ^ 8) - 8;
  }
  const u8 *line = rows.from + row * (rows.width * rows.bits / 8);
  u32 code = column % 2 ? line[column / 2] >> 4 : line[column / 2] & 15;
  if (rows.bits == 6) code |= (line[rows.width / 2 + column / 4] >> (column % 4 * 2) & 3) << 4;
  float level = rows.table ? float_at(rows.table + code * 4) : (float)code - (float)(1 << (rows.bits - 1));
  u64 at = row * (rows.width / rows.group) + column / rows.group;
  float scale = rows.wide ? float_at(rows.relative + at * 4) : from_e4m3(rows.relative[at]);
  float value = rintf(mul(level, scale));
  return value != value ? 0 : (int)fminf(fmaxf(value, -127.0f), 127.0f);
}

// The product of four integers with the 4 × 4 matrix.
__device__ __forceinline__ void turn(int &a, int &b, int &c, int &d) {
  int sum = a + b + c + d, e = sum - 2 * d, f = sum - 2 * c, g = sum - 2 * b, h = sum - 2 * a;
  a = e; b = f; c = g; d = h;
}

// Groups of 256 numbers: 16 threads each, first with 16 numbers side by side, then with every 16th.
extern "C" __global__ void __launch_bounds__(256)
    expand_rotated256(const u8 *from, const u8 *relative, const u8 *table, const u8 *scales, u64 numbers, int width,
                      int bits, int group, int wide, int by_row, void *out, int type) {
  __shared__ int shared[16][16][17];
  Rows rows = {from, relative, table, width, bits, group, wide};
  int which = threadIdx.x / 16, lane = threadIdx.x % 16;
  u64 first = ((u64)blockIdx.x * 16 + which) * 256;
  bool there = first < numbers;
  u64 row = there ? first / width : 0;
  int v[16], column = there ? (int)(first % width) : 0;
  if (bits == 8 && there) {
    uint4 bytes = *(const uint4 *)(from + first + lane * 16);
    u32 w[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
#pragma unroll
    for (int i = 0; i < 16; i++) v[i] = (i8)(w[i / 4] >> (8 * (i % 4)));
  } else {
#pragma unroll
    for (int i = 0; i < 16; i++) v[i] = there ? integer(rows, row, column + lane * 16 + i) : 0;
  }
#pragma unroll
  for (int i = 0; i < 16; i += 4) turn(v[i], v[i + 1], v[i + 2], v[i + 3]);
#pragma unroll
  for (int i = 0; i < 4; i++) turn(v[i], v[i + 4], v[i + 8], v[i + 12]);
#pragma unroll
  for (int i = 0; i < 16; i++) shared[which][lane][i] = v[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 16; i++) v[i] = shared[which][i][lane];
#pragma unroll
  for (int i = 0; i < 16; i += 4) turn(v[i], v[i + 1], v[i + 2], v[i + 3]);
#pragma unroll
  for (int i = 0; i < 4; i++) turn(v[i], v[i + 4], v[i + 8], v[i + 12]);
  if (!there) return;
  float scale = mul(float_at(scales + (by_row ? row * 4 : 0)), 1.0f / 16);
#pragma unroll
  for (int i = 0; i < 16; i++) store1(out, first + i * 16 + lane, mul((float)v[i], scale), type);
}

// Groups of any power of 4: a block for each, with a thread for four numbers.
extern "C" __global__ void __launch_bounds__(256)
    expand_rotated(const u8 *from, const u8 *relative, const u8 *table, const u8 *scales, u64 numbers, int width,
                   int bits, int group, int wide, int by_row, void *out, int type, float root) {
  __shared__ int shared[1024];
  Rows rows = {from, relative, table, width, bits, group, wide};
  int size = blockDim.x * 4;
  u64 first = (u64)blockIdx.x * size, row = first / width;
  int column = (int)(first % width);
  for (int i = 0; i < 4; i++) {
    shared[threadIdx.x * 4 + i] = integer(rows, row, column + threadIdx.x * 4 + i);
  }
  for (int step = 1; step < size; step *= 4) {
    __syncthreads();
    int *at = shared + threadIdx.x / step * 4 * step + threadIdx.x % step;
    turn(at[0], at[step], at[2 * step], at[3 * step]);
  }
  __syncthreads();
  float scale = mul(float_at(scales + (by_row ? row * 4 : 0)), root);
  for (int i = 0; i < 4; i++) {
    int at = i * blockDim.x + threadIdx.x;
    store1(out, first + at, mul((float)shared[at], scale), type);
  }
}
