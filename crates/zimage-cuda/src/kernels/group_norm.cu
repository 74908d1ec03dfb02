// Group norm of feature maps in NHWC (`channels` numbers for each position), and the residual sum
// before it.
//
// A block processes `per_block` positions. Its threads form `lanes` rows of channels / 8: each thread
// processes eight channels of every lanes-th position, with four loads in flight.

const int FLIGHT = 4;

struct Share {
  int vectors, lanes, lane, channel, first, end;

  __device__ __forceinline__ Share(int places, int channels, int per_block) {
    vectors = channels / 8;
    lanes = blockDim.x / vectors;
    lane = threadIdx.x / vectors;
    channel = threadIdx.x % vectors * 8;
    first = blockIdx.x * per_block;
    end = min(first + per_block, places);
  }
};

__device__ __forceinline__ void unpack(Packed p, float v[8]) {
#pragma unroll
  for (int i = 0; i < 4; i++) { v[2 * i] = low(p.w[i]); v[2 * i + 1] = high(p.w[i]); }
}

__device__ __forceinline__ void add8(float v[8], const float w[8]) {
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += w[i];
}

// For each channel its mean over the block's places and the sum of squared distances from it:
// moments[block][channel]. Sums are of distances from the block's first position, so that a mean far
// from 0 loses no digits. With ADD the numbers are x + y + bias, rounded and stored in `sum`.
template <bool ADD>
__device__ __forceinline__ void block_moments(const bf16 *x, const bf16 *y, const float *bias, bf16 *sum, int places,
                                              int channels, int per_block, float2 *moments) {
  __shared__ float sums[8][256], squares[8][256];
  Share at(places, channels, per_block);
  float b[8] = {}, origin[8], s[8] = {}, q[8] = {};
  if (ADD && bias != nullptr) load8(bias + at.channel, b);
  size_t begin = (size_t)at.first * channels + at.channel;
  load8(x + begin, origin);
  if (ADD) {
    float w[8];
    load8(y + begin, w);
    add8(origin, w);
    add8(origin, b);
  }
  for (int place = at.first + at.lane; place < at.end; place += FLIGHT * at.lanes) {
    Packed px[FLIGHT], py[FLIGHT];
#pragma unroll
    for (int f = 0; f < FLIGHT; f++) {
      int p = place + f * at.lanes;
      if (p >= at.end) continue;
      size_t from = (size_t)p * channels + at.channel;
      px[f] = *(const Packed *)(x + from);
      if (ADD) py[f] = *(const Packed *)(y + from);
    }
#pragma unroll
    for (int f = 0; f < FLIGHT; f++) {
      int p = place + f * at.lanes;
      if (p >= at.end) continue;
      float v[8];
      unpack(px[f], v);
      if (ADD) {
        float w[8];
        unpack(py[f], w);
        add8(v, w);
        add8(v, b);
        store8(sum + (size_t)p * channels + at.channel, v);
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float d = v[i] - origin[i];
        s[i] += d;
        q[i] += d * d;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    sums[i][threadIdx.x] = s[i];
    squares[i][threadIdx.x] = q[i];
  }
  __syncthreads();
  float n = at.end - at.first;
  for (int channel = threadIdx.x; channel < channels; channel += blockDim.x) {
    float s = 0.0f, q = 0.0f;
    for (int lane = 0; lane < at.lanes; lane++) {
      int thread = lane * at.vectors + channel / 8;
      s += sums[channel % 8][thread];
      q += squares[channel % 8][thread];
    }
    size_t from = (size_t)at.first * channels + channel;
    float origin = widen(x[from]);
    if (ADD) origin = origin + widen(y[from]) + (bias == nullptr ? 0.0f : bias[channel]);
    moments[(size_t)blockIdx.x * channels + channel] = make_float2(origin + s / n, fmaxf(q - s * s / n, 0.0f));
  }
}

extern "C" __global__ void __launch_bounds__(256) channel_moments(const bf16 *x, int places, int channels,
                                                                  int per_block, float2 *moments) {
  block_moments<false>(x, nullptr, nullptr, nullptr, places, channels, per_block, moments);
}

extern "C" __global__ void __launch_bounds__(256) add_moments(const bf16 *x, const bf16 *y, const float *bias,
                                                              bf16 *sum, int places, int channels, int per_block,
                                                              float2 *moments) {
  block_moments<true>(x, y, bias, sum, places, channels, per_block, moments);
}

// From moments to a factor and an offset for each channel: norm(x + bias) =
// x · coefficients[0][channel] + coefficients[1][channel]. One block for each group.
extern "C" __global__ void __launch_bounds__(512) norm_coefficients(const float2 *moments, int blocks, int per_block,
                                                                    int places, int channels, int groups,
                                                                    const float *bias, const float *weight,
                                                                    const float *offset, float eps,
                                                                    float *coefficients) {
  __shared__ float shared[64];
  int width = channels / groups, first = blockIdx.x * width, items = blocks * width;
  float total = (float)places * width, rest = places - (blocks - 1) * per_block, sum = 0.0f;
  for (int item = threadIdx.x; item < items; item += blockDim.x) {
    int block = item / width, channel = first + item % width;
    float n = block == blocks - 1 ? rest : per_block;
    sum += n * (moments[(size_t)block * channels + channel].x + (bias == nullptr ? 0.0f : bias[channel]));
  }
  float mean = block_sum(sum, shared) / total;
  sum = 0.0f;
  for (int item = threadIdx.x; item < items; item += blockDim.x) {
    int block = item / width, channel = first + item % width;
    float n = block == blocks - 1 ? rest : per_block;
    float2 m = moments[(size_t)block * channels + channel];
    float d = m.x + (bias == nullptr ? 0.0f : bias[channel]) - mean;
    sum += m.y + n * d * d;
  }
  float inverse = 1.0f / sqrtf(block_sum(sum, shared + 32) / total + eps);
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    int channel = first + i;
    float scale = inverse * weight[channel];
    coefficients[channel] = scale;
    coefficients[channels + channel] = offset[channel] + ((bias == nullptr ? 0.0f : bias[channel]) - mean) * scale;
  }
}

template <bool SILU>
__device__ __forceinline__ void apply_norm(const bf16 *x, const float *coefficients, int places, int channels,
                                           int per_block, bf16 *out) {
  Share at(places, channels, per_block);
  float scale[8], shift[8];
  load8(coefficients + at.channel, scale);
  load8(coefficients + channels + at.channel, shift);
  for (int place = at.first + at.lane; place < at.end; place += FLIGHT * at.lanes) {
    Packed p[FLIGHT];
#pragma unroll
    for (int f = 0; f < FLIGHT; f++) {
      int from = place + f * at.lanes;
      if (from < at.end) p[f] = *(const Packed *)(x + (size_t)from * channels + at.channel);
    }
#pragma unroll
    for (int f = 0; f < FLIGHT; f++) {
      int to = place + f * at.lanes;
      if (to >= at.end) continue;
      float v[8];
      unpack(p[f], v);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        v[i] = v[i] * scale[i] + shift[i];
        if (SILU) v[i] = silu(v[i]);
      }
      store8(out + (size_t)to * channels + at.channel, v);
    }
  }
}

extern "C" __global__ void __launch_bounds__(256) group_norm(const bf16 *x, const float *coefficients, int places,
                                                             int channels, int per_block, bf16 *out) {
  apply_norm<false>(x, coefficients, places, channels, per_block, out);
}

extern "C" __global__ void __launch_bounds__(256) group_norm_silu(const bf16 *x, const float *coefficients, int places,
                                                                  int channels, int per_block, bf16 *out) {
  apply_norm<true>(x, coefficients, places, channels, per_block, out);
}
