# How a module is built and installed. Included by the root and by every module's folder, because a
# folder may be added to another project without the rest of the tree.
include(${CMAKE_CURRENT_LIST_DIR}/version.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/install.cmake)

# Imported targets and languages are per directory: a project in C++ may not have asked for C.
enable_language(C)
find_package(Threads REQUIRED)

# What every target of the tree is compiled with. Private to the tree: nothing of it is exported.
if(NOT TARGET netpoll_build_options)
    add_library(netpoll_build_options INTERFACE)
    target_compile_options(netpoll_build_options INTERFACE
        -Wall -Wextra -Wshadow -Wconversion
        "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>"
        $<$<BOOL:${NETPOLL_WERROR}>:-Werror>)
    if(NETPOLL_SANITIZE)
        target_compile_options(netpoll_build_options INTERFACE
            -fsanitize=${NETPOLL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
        target_link_options(netpoll_build_options INTERFACE -fsanitize=${NETPOLL_SANITIZE})
    endif()
endif()

# netpoll_module(NAME DESCRIPTION text SOURCES file... [DEFINITIONS name...] [DEPS target...]
#                [PUBLIC_DEPS target...] [REQUIRES package...] [GNU])
# One library of the toolkit: public headers in include/, everything else in src/. Modules among
# DEPS and PUBLIC_DEPS, whose headers its own include, that are not there yet are added. REQUIRES: what pkg-config has to find for a static library
# besides modules. GNU: uses gnu11 and what the C library has beyond POSIX. Does nothing when the
# module is there already.
function(netpoll_module name)
    cmake_parse_arguments(ARG "GNU" "DESCRIPTION" "SOURCES;DEFINITIONS;DEPS;PUBLIC_DEPS;REQUIRES" ${ARGN})
    if(TARGET netpoll::${name})
        return()
    endif()
    foreach(dep IN LISTS ARG_DEPS ARG_PUBLIC_DEPS)
        if(dep MATCHES "^netpoll::(.*)$" AND NOT TARGET ${dep})
            add_subdirectory(
                ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../${CMAKE_MATCH_1} ${CMAKE_MATCH_1})
        endif()
    endforeach()
    add_library(${name} ${ARG_SOURCES})
    add_library(netpoll::${name} ALIAS ${name})
    # Private: the headers are C++ as well, and a project may have no C compiler.
    target_compile_features(${name} PRIVATE c_std_11)
    set_target_properties(${name} PROPERTIES
        C_EXTENSIONS ${ARG_GNU}
        C_VISIBILITY_PRESET hidden
        POSITION_INDEPENDENT_CODE ON
        VERSION ${NETPOLL_VERSION}
        SOVERSION ${NETPOLL_VERSION_MINOR})
    target_compile_definitions(${name} PRIVATE
        $<$<BOOL:${ARG_GNU}>:_GNU_SOURCE> ${ARG_DEFINITIONS})
    # What gopool/fault.h stands on: frames that can be unwound, and code that can be told apart.
    target_compile_options(${name} PRIVATE
        $<$<COMPILE_LANGUAGE:C>:-fasynchronous-unwind-tables>
        "$<$<COMPILE_LANGUAGE:C>:SHELL:-include ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/code_note.h>")
    target_include_directories(${name}
        PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
        PRIVATE src)
    target_link_libraries(${name}
        PUBLIC ${ARG_PUBLIC_DEPS}
        PRIVATE ${ARG_DEPS} $<BUILD_INTERFACE:netpoll_build_options>)
    if(NETPOLL_INSTALL)
        netpoll_install_module(${name} "${ARG_DESCRIPTION}" "${ARG_DEPS}" "${ARG_PUBLIC_DEPS}"
            "${ARG_REQUIRES}")
    endif()
endfunction()
