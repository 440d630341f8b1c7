# find_package(Kos): the targets Kos::kos and Kos::i2c_client, and kos_protobuf_generate().
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/KosTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/KosProtobuf.cmake)
