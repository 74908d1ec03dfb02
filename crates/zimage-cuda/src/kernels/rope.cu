// Norm and rotation of queries and keys, in place on packed rows of heads of 128 numbers: queries, then
// keys, then values, which are unchanged. One block for each token, one warp for each head, four
// numbers for each lane.

template <bool HALVES>
__device__ __forceinline__ void norm_and_rotate(bf16 *heads, int row_width, int queries, int keys, const bf16 *q_scale,
                                                const bf16 *k_scale, float eps, const float2 *turns) {
  int lane = threadIdx.x & 31, warps = blockDim.x >> 5;
  bf16 *row = heads + (size_t)blockIdx.x * row_width;
  const float2 *turn = turns + (size_t)blockIdx.x * 64;
  // Neighbours: the lane's two pairs. Halves: number i pairs with i + 64, sixteen lanes further.
  float2 t[4];
#pragma unroll
  for (int i = 0; i < 4; i++) t[i] = HALVES ? turn[(lane & 15) * 4 + i] : turn[lane * 2 + (i >> 1)];
  for (int head = threadIdx.x >> 5; head < queries + keys; head += warps) {
    uint2 *at = (uint2 *)(row + head * 128) + lane;
    uint2 p = *at, s = ((const uint2 *)(head < queries ? q_scale : k_scale))[lane];
    float v[4] = {low(p.x), high(p.x), low(p.y), high(p.y)};
    float w[4] = {low(s.x), high(s.x), low(s.y), high(s.y)};
    float sum = v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + v[3] * v[3];
#pragma unroll
    for (int far = 16; far > 0; far >>= 1) sum += __shfl_xor_sync(~0u, sum, far);
    float inverse = rsqrtf(sum / 128.0f + eps);
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] *= inverse * w[i];
    float r[4];
    if (HALVES) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float other = __shfl_xor_sync(~0u, v[i], 16);
        r[i] = v[i] * t[i].x + (lane < 16 ? -other : other) * t[i].y;
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        r[i] = v[i] * t[i].x - v[i + 1] * t[i].y;
        r[i + 1] = v[i] * t[i].y + v[i + 1] * t[i].x;
      }
    }
    *at = make_uint2(pack(r[0], r[1]), pack(r[2], r[3]));
  }
}

extern "C" __global__ void norm_and_rotate_neighbours(bf16 *heads, int row_width, int queries, int keys,
                                                      const bf16 *q_scale, const bf16 *k_scale, float eps,
                                                      const float2 *turns) {
  norm_and_rotate<false>(heads, row_width, queries, keys, q_scale, k_scale, eps, turns);
}

extern "C" __global__ void norm_and_rotate_halves(bf16 *heads, int row_width, int queries, int keys,
                                                  const bf16 *q_scale, const bf16 *k_scale, float eps,
                                                  const float2 *turns) {
  norm_and_rotate<true>(heads, row_width, queries, keys, q_scale, k_scale, eps, turns);
}
