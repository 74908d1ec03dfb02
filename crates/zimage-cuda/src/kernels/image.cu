// The decoder's other operations: upsampling by two, and conversion of the last map to bytes. Maps are
// in NHWC (`channels` numbers for each position).

// Each position becomes four; each thread processes eight numbers of one position.
extern "C" __global__ void upsample(const bf16 *x, const float *bias, int places, int width, int channels, bf16 *out) {
  int vectors = channels / 8;
  long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long place = thread / vectors;
  if (place >= places) return;
  int channel = (int)(thread % vectors) * 8;
  float v[8];
  load8(x + place * channels + channel, v);
  if (bias != nullptr) {
    float b[8];
    load8(bias + channel, b);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] += b[i];
  }
  long long row = place / width, column = place % width;
  bf16 *to = out + ((row * 2 * width + column) * 2) * channels + channel;
  store8(to, v);
  store8(to + channels, v);
  store8(to + (size_t)2 * width * channels, v);
  store8(to + (size_t)(2 * width + 1) * channels, v);
}

__device__ __forceinline__ float rounded(float x) { return low(pack(x, 0.0f)); }

// Red, green and blue of about −1 to 1, the first three of eight numbers of a position, to bytes.
// Each step rounds to bfloat16 where libtorch's operations on bfloat16 would, the last to even.
// `not_finite` becomes 1 if a number is not finite.
extern "C" __global__ void to_bytes(const bf16 *x, const float *bias, int places, u8 *rgb, int *not_finite) {
  int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place >= places) return;
  float v[8];
  load8(x + (size_t)place * 8, v);
#pragma unroll
  for (int i = 0; i < 3; i++) {
    float unit = rounded(rounded(rounded(v[i] + bias[i]) * 0.5f) + 0.5f);
    if (!(fabsf(unit) <= 3.4e38f)) *not_finite = 1;
    rgb[(size_t)place * 3 + i] = (u8)__float2int_rn(fminf(fmaxf(unit, 0.0f), 1.0f) * 255.0f);
  }
}
