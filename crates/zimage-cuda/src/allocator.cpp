// C interface to libtorch's caching allocator, which tch does not expose.
//
// The allocator registers itself with libc10 when libtorch_cuda is loaded, so neither CUDA's headers
// nor libtorch_cuda are needed here. Exceptions must not pass into Rust.

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>

#include <cstdint>

namespace zimg {

// The virtual functions of c10/cuda/CUDACachingAllocator.h of libtorch 2.11.0, as far as the one that is
// called; that header needs CUDA's, which not every machine that builds has.
// Not in an anonymous namespace: a compiler that sees no class derived from it there takes each call for one
// of a pure virtual function.
class CudaAllocator : public c10::DeviceAllocator {
 public:
  virtual void* raw_alloc(size_t bytes) = 0;
  virtual void* raw_alloc_with_stream(size_t bytes, void* stream) = 0;
  virtual void raw_delete(void* memory) = 0;
  virtual void init(int devices) = 0;
  virtual double getMemoryFraction(c10::DeviceIndex device) = 0;
  virtual void setMemoryFraction(double fraction, c10::DeviceIndex device) = 0;
};

}  // namespace zimg

extern "C" {

// Limits what the allocator holds to a fraction of the device's memory. 0 on success.
int zimg_allocator_limit(int device, double fraction) noexcept {
  try {
    auto* allocator = static_cast<zimg::CudaAllocator*>(c10::getDeviceAllocator(c10::DeviceType::CUDA));
    const auto index = static_cast<c10::DeviceIndex>(device);
    allocator->setMemoryFraction(fraction, index);
    // Another class would not give back what it was given.
    const double found = allocator->getMemoryFraction(index);
    return found > fraction - 1e-9 && found < fraction + 1e-9 ? 0 : 1;
  } catch (...) {
    return 1;
  }
}

// Returns cached memory to the driver. 0 on success.
int zimg_allocator_empty_cache() noexcept {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache();
    return 0;
  } catch (...) {
    return 1;
  }
}

// Bytes of all tensors, their peak since the last reset, and the bytes that the allocator holds.
int zimg_allocator_stats(int device, uint64_t bytes[3]) noexcept {
  try {
    auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(device);
    // Index 0 is the sum over the pools of small and of large blocks.
    bytes[0] = stats.allocated_bytes[0].current;
    bytes[1] = stats.allocated_bytes[0].peak;
    bytes[2] = stats.reserved_bytes[0].current;
    return 0;
  } catch (...) {
    return 1;
  }
}

// Resets the peak to the current value.
int zimg_allocator_reset_peak(int device) noexcept {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->resetPeakStats(device);
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // extern "C"
