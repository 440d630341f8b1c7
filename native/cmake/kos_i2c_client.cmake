# include(kos_i2c_client): then <i2c_client.h> is found, and -li2c_client links.
get_filename_component(_kos_sdk "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
include_directories(SYSTEM "${_kos_sdk}/include")
link_directories("${_kos_sdk}/lib")
unset(_kos_sdk)
