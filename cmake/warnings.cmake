# A warning is an error, in every preset.
add_library(sallyport_warnings INTERFACE)
target_compile_options(sallyport_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Wcast-align -Woverloaded-virtual -Wnull-dereference -Wformat=2 -Werror)
# GCC 12 reports impossible null dereferences and overreads inside inlined library code.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(sallyport_warnings INTERFACE -Wno-null-dereference -Wno-stringop-overread -Wno-array-bounds
                         -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-restrict
                         -Wno-mismatched-new-delete)
endif()

if(SALLYPORT_SANITIZE)
  add_compile_options(-fsanitize=${SALLYPORT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${SALLYPORT_SANITIZE})
else()
  add_compile_options(-fstack-protector-strong -fPIE)
  add_compile_definitions($<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
  add_link_options(-pie -Wl,-z,relro,-z,now)
endif()
# clang 14 with libstdc++ 12 needs these for std::expected.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-D__cpp_concepts=202002L -Wno-builtin-macro-redefined -Wno-macro-redefined)
endif()
