# include(kos_protobuf): kos_protobuf_generate(), for projects that do not use find_package(Kos).
get_filename_component(_kos_sdk "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
include("${_kos_sdk}/lib/cmake/Kos/KosProtobuf.cmake")
unset(_kos_sdk)
