// Definitions for all kernels. NVRTC has no headers, so bfloat16 is handled as bits: its 16 bits are
// the upper half of a float's.

typedef unsigned char u8;
typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

// Eight bfloat16 numbers, loaded and stored at once.
struct __align__(16) Packed { u32 w[4]; };

__device__ __forceinline__ float low(u32 pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((u32)x << 16); }

__device__ __forceinline__ float half_at(const u8 *at) {
  unsigned short bits = *(const unsigned short *)at;
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

// For GPUs without bfloat16, too; every NaN becomes the same one.
__device__ __forceinline__ u32 to_bfloat16(float value) {
  u32 bits = __float_as_uint(value);
  u32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return value != value ? 0x7fc0 : rounded;
}

// Rounds to nearest even, as libtorch does.
__device__ __forceinline__ u32 pack(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ void load8(const bf16 *from, float v[8]) {
  Packed p = *(const Packed *)from;
#pragma unroll
  for (int i = 0; i < 4; i++) { v[2 * i] = low(p.w[i]); v[2 * i + 1] = high(p.w[i]); }
}

__device__ __forceinline__ void load8(const float *from, float v[8]) {
  float4 a = ((const float4 *)from)[0], b = ((const float4 *)from)[1];
  v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
  v[4] = b.x; v[5] = b.y; v[6] = b.z; v[7] = b.w;
}

// Stores, and rounds `v` to what was stored.
__device__ __forceinline__ void store8(bf16 *to, float v[8]) {
  Packed p;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    p.w[i] = pack(v[2 * i], v[2 * i + 1]);
    v[2 * i] = low(p.w[i]);
    v[2 * i + 1] = high(p.w[i]);
  }
  *(Packed *)to = p;
}

// __fdividef returns 0 where 1 + e^-x exceeds 2^126, which is the limit of the function.
__device__ __forceinline__ float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

// The sum, or the maximum, over all threads of a block of whole warps: the same value in every thread
// and in every run, since the order is fixed. `shared` holds 32 floats, and may be reused only after a
// __syncthreads().
__device__ __forceinline__ float block_sum(float x, float *shared) {
#pragma unroll
  for (int lane = 16; lane > 0; lane >>= 1) x += __shfl_xor_sync(~0u, x, lane);
  int warps = blockDim.x >> 5;
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = x;
  __syncthreads();
  x = (threadIdx.x & 31) < warps ? shared[threadIdx.x & 31] : 0.0f;
#pragma unroll
  for (int lane = 16; lane > 0; lane >>= 1) x += __shfl_xor_sync(~0u, x, lane);
  return x;
}

__device__ __forceinline__ float block_max(float x, float *shared) {
#pragma unroll
  for (int lane = 16; lane > 0; lane >>= 1) x = fmaxf(x, __shfl_xor_sync(~0u, x, lane));
  int warps = blockDim.x >> 5;
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = x;
  __syncthreads();
  x = (threadIdx.x & 31) < warps ? shared[threadIdx.x & 31] : 0.0f;
#pragma unroll
  for (int lane = 16; lane > 0; lane >>= 1) x = fmaxf(x, __shfl_xor_sync(~0u, x, lane));
  return x;
}

// A row as float8 (e4m3) with one scale: its largest value becomes 448, the largest of float8.
const float FLOAT8_MAX = 448.0f;

__device__ __forceinline__ float float8_scale(float largest) {
  return fmaxf(largest, 1e-12f) / FLOAT8_MAX;
}

__device__ __forceinline__ void store8(u8 *to, const float v[8], float scale) {
#if __CUDA_ARCH__ >= 890
  float by = 1.0f / scale;
  u32 w[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    unsigned short a, b;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(a) : "f"(v[4 * i + 1] * by), "f"(v[4 * i] * by));
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(b) : "f"(v[4 * i + 3] * by), "f"(v[4 * i + 2] * by));
    w[i] = (u32)a | ((u32)b << 16);
  }
  *(uint2 *)to = make_uint2(w[0], w[1]);
#endif
}
