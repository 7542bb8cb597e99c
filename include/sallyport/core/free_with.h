// FreeWith<f> is the deleter of a std::unique_ptr to what a C library made, and f frees.
#pragma once

namespace sallyport {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

}  // namespace sallyport
