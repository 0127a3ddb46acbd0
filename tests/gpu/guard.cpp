// What autograd asks of CUDA, answered for one device in a build of PyTorch without CUDA: which device
// and which stream is the current one. There is one of each; nothing is allocated, launched or switched.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstring>

namespace {

const c10::Device kOnly(c10::DeviceType::CUDA, 0);

struct OneDevice final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::Device getDevice() const override { return kOnly; }
  c10::Device exchangeDevice(c10::Device) const override { return kOnly; }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, kOnly);
  }
};

C10_REGISTER_GUARD_IMPL(CUDA, OneDevice)

struct Hooks final : at::CUDAHooksInterface {
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void init() const override {}
};

}  // namespace

// Begin or end to answer. PyTorch creates its hooks once a process, usually before this library is
// loaded, and has no way to replace them. They have no fields, so the table of their functions is
// exchanged, and put back when the stand-in ends: all other tests of the process see no CUDA.
extern "C" void answer_for_cuda(bool answering) {
  static const Hooks ours;
  const void* hooks = &at::detail::getCUDAHooks();
  static void* theirs = *static_cast<void* const*>(hooks);
  const void* table = answering ? *reinterpret_cast<void* const*>(&ours) : theirs;
  std::memcpy(const_cast<void*>(hooks), &table, sizeof table);
}
