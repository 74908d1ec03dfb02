// C interface to libtorch's caching allocator, which tch does not expose.
//
// The allocator registers itself with libc10 when libtorch_cuda is loaded, so neither CUDA's headers
// nor libtorch_cuda are needed here. Exceptions must not pass into Rust.

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>

#include <cstdint>

extern "C" {

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
