// Softmax of rows of scores: float32 in, bfloat16 out. One block for each row, which it reads twice:
// for the maximum together with the sum of exponentials, and for the result.

extern "C" __global__ void __launch_bounds__(512) softmax_rows(const float *scores, float scale, int width,
                                                               bf16 *out) {
  __shared__ float shared[64];
  const float *row = scores + (size_t)blockIdx.x * width;
  // The GPU computes powers of two.
  scale *= 1.4426950408889634f;
  float largest = -3.4e38f, sum = 0.0f;
#pragma unroll 4
  for (int at = threadIdx.x * 4; at < width; at += blockDim.x * 4) {
    float4 v = *(const float4 *)(row + at);
    v.x *= scale; v.y *= scale; v.z *= scale; v.w *= scale;
    float now = fmaxf(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)), largest);
    sum = sum * exp2f(largest - now) + exp2f(v.x - now) + exp2f(v.y - now) + exp2f(v.z - now) + exp2f(v.w - now);
    largest = now;
  }
  float most = block_max(largest, shared);
  float inverse = 1.0f / block_sum(sum * exp2f(largest - most), shared + 32);
#pragma unroll 4
  for (int at = threadIdx.x * 4; at < width; at += blockDim.x * 4) {
    float4 v = *(const float4 *)(row + at);
    u32 left = pack(exp2f(v.x * scale - most) * inverse, exp2f(v.y * scale - most) * inverse);
    u32 right = pack(exp2f(v.z * scale - most) * inverse, exp2f(v.w * scale - most) * inverse);
    *(uint2 *)(out + (size_t)blockIdx.x * width + at) = make_uint2(left, right);
  }
}
