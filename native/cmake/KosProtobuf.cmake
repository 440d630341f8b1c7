# kos_protobuf_generate(TARGET target PROTOS file.proto… [DIRECTORY directory])
#
# Generates C for each .proto by nanopb, adds it to the target, and links nanopb. `file.options` beside a .proto
# is used where it exists. Import paths begin at DIRECTORY, by default the current source directory.
# `#include "file.pb.h"` then works, and so do <pb_encode.h> and <pb_decode.h>.
find_program(KOS_NANOPB_GENERATOR nanopb_generator PATHS ENV PATH NO_DEFAULT_PATH
  DOC "nanopb's generator, from the PyPI package of that name")

function(kos_protobuf_generate)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "TARGET;DIRECTORY" "PROTOS")
  if(NOT ARG_TARGET OR NOT ARG_PROTOS OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "expected kos_protobuf_generate(TARGET target PROTOS file.proto… [DIRECTORY directory])")
  endif()
  if(NOT KOS_NANOPB_GENERATOR)
    message(FATAL_ERROR "nanopb_generator is not in PATH; hint: pip install nanopb grpcio-tools")
  endif()
  if(NOT ARG_DIRECTORY)
    set(ARG_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  cmake_path(ABSOLUTE_PATH ARG_DIRECTORY BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${ARG_TARGET}.protobuf)
  file(MAKE_DIRECTORY ${output})
  foreach(proto IN LISTS ARG_PROTOS)
    cmake_path(ABSOLUTE_PATH proto BASE_DIRECTORY ${ARG_DIRECTORY} NORMALIZE OUTPUT_VARIABLE source)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${ARG_DIRECTORY} OUTPUT_VARIABLE name)
    cmake_path(REMOVE_EXTENSION name LAST_ONLY OUTPUT_VARIABLE stem)
    set(options ${ARG_DIRECTORY}/${stem}.options)
    if(NOT EXISTS ${options})
      set(options "")
    endif()
    add_custom_command(
      OUTPUT ${output}/${stem}.pb.c ${output}/${stem}.pb.h
      COMMAND ${KOS_NANOPB_GENERATOR} --quiet --no-timestamp --error-on-unmatched
        --output-dir=${output} --proto-path=${ARG_DIRECTORY} ${name}
      WORKING_DIRECTORY ${ARG_DIRECTORY}
      DEPENDS ${source} ${options}
      COMMENT "Generating C for ${name}"
      VERBATIM)
    target_sources(${ARG_TARGET} PRIVATE ${output}/${stem}.pb.c ${output}/${stem}.pb.h)
  endforeach()
  target_include_directories(${ARG_TARGET} PRIVATE ${output})
  if(TARGET Kos::protobuf_nanopb)
    target_link_libraries(${ARG_TARGET} PRIVATE Kos::protobuf_nanopb)
  else()
    # include(kos_protobuf) without find_package(Kos): the SDK lies above this file.
    cmake_path(SET sdk NORMALIZE ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../../..)
    target_include_directories(${ARG_TARGET} SYSTEM PRIVATE ${sdk}/include/nanopb)
    target_link_libraries(${ARG_TARGET} PRIVATE ${sdk}/lib/libprotobuf_nanopb.a)
  endif()
endfunction()
