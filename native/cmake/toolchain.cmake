# For projects of the reference's style, which set CMAKE_TOOLCHAIN_FILE to $ENV{KOS_RUNTIME_PATH}/share/toolchain.cmake.
# Every program of theirs may include <kos.h> and is linked with libkos, without saying so.
set(CMAKE_SYSTEM_NAME Linux)
if(DEFINED ENV{KOS_CC})
  set(CMAKE_C_COMPILER "$ENV{KOS_CC}")
endif()
# Try-compiles see the same flags, and they must not need libkos before it is found.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
get_filename_component(KOS_SDK "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
include_directories(SYSTEM "${KOS_SDK}/include")
link_directories("${KOS_SDK}/lib")
set(CMAKE_C_STANDARD_LIBRARIES "-lkos -lm -lpthread" CACHE STRING "What every KOS app is linked with" FORCE)
list(APPEND CMAKE_PREFIX_PATH "${KOS_SDK}")
list(APPEND CMAKE_MODULE_PATH "${KOS_SDK}/share")
