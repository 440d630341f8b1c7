# The SDK tree: include/, lib/ (libraries and find_package(Kos)), share/ (toolchain and modules of the reference's style).
include(CMakePackageConfigHelpers)

install(TARGETS kos i2c_client protobuf_nanopb EXPORT KosTargets ARCHIVE DESTINATION lib)
install(DIRECTORY include/ DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY third_party/nanopb/ DESTINATION include/nanopb FILES_MATCHING PATTERN "*.h")
install(EXPORT KosTargets NAMESPACE Kos:: DESTINATION lib/cmake/Kos)
install(FILES cmake/KosConfig.cmake cmake/KosProtobuf.cmake DESTINATION lib/cmake/Kos)
write_basic_package_version_file(
  ${CMAKE_CURRENT_BINARY_DIR}/KosConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/KosConfigVersion.cmake DESTINATION lib/cmake/Kos)
install(FILES cmake/toolchain.cmake cmake/kos_i2c_client.cmake cmake/kos_protobuf.cmake DESTINATION share)
