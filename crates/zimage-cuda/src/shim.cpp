// C interface to members of libtorch's C++ classes, which may throw exceptions.
//
// The declarations are those of libtorch 2.11.0. Its CUDA headers are not included: not every machine
// that builds has CUDA. Functions of libtorch_cuda are passed as addresses: a build links libtorch_cpu
// alone.

#include <cstddef>
#include <cstdio>
#include <exception>
#include <utility>

namespace at {
// ATen/Context.h
class Context {
 public:
  void setSDPUseCuDNN(bool yes);
};
Context& globalContext();
}  // namespace at

namespace {

// c10/core/MempoolId: c10::MempoolId_t
using Pool = std::pair<unsigned long long, unsigned long long>;

// Runs `work`; writes the message of an exception to `why`.
template <class Work>
bool caught(char* why, size_t room, Work work) {
  try {
    work();
    return true;
  } catch (const std::exception& thrown) {
    std::snprintf(why, room, "%s", thrown.what());
  } catch (...) {
    std::snprintf(why, room, "an unknown C++ exception");
  }
  return false;
}

}  // namespace

extern "C" {

void zimg_use_cudnn_attention(bool yes) { at::globalContext().setSDPUseCuDNN(yes); }

// at::cuda::CUDAGraph::CUDAGraph(bool keep_graph)
bool zimg_graph_new(void (*constructor)(void*, bool), void* graph, char* why, size_t room) {
  return caught(why, room, [=] { constructor(graph, false); });
}

// capture_begin(MempoolId_t pool, cudaStreamCaptureMode mode)
bool zimg_graph_begin(void (*begin)(void*, Pool, int), void* graph, unsigned long long first,
                      unsigned long long second, int mode, char* why, size_t room) {
  return caught(why, room, [=] { begin(graph, Pool{first, second}, mode); });
}

// MempoolId_t pool()
bool zimg_graph_pool(Pool (*pool)(void*), void* graph, unsigned long long* to, char* why, size_t room) {
  return caught(why, room, [=] {
    const Pool found = pool(graph);
    to[0] = found.first;
    to[1] = found.second;
  });
}

// capture_end(), replay(), ~CUDAGraph()
bool zimg_graph_call(void (*member)(void*), void* graph, char* why, size_t room) {
  return caught(why, room, [=] { member(graph); });
}

}  // extern "C"
