// libtorch's memory on a GPU: what tch does not reach, as a C interface.
//
// The allocator registers itself with libc10 when libtorch_cuda is loaded, so neither CUDA's headers
// nor libtorch_cuda are needed here. Exceptions must not pass into Rust.

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>

#include <cstdint>

extern "C" {

// Gives cached memory back to the driver. 0 if all went well.
int zimg_allocator_give_back() noexcept {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache();
    return 0;
  } catch (...) {
    return 1;
  }
}

// Bytes of all tensors now, the most there were since the last reset, and what the allocator holds.
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

// Begins anew to watch for the most there is.
int zimg_allocator_reset_peak(int device) noexcept {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->resetPeakStats(device);
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // extern "C"
