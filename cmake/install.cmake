# What `cmake --install` puts where: libraries, headers, a CMake package and a file for pkg-config
# per module.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(netpoll_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/netpoll)

# The file for pkg-config. Only a static library has to name what it needs: a shared one knows, but
# for what its public headers include.
function(netpoll_install_pc name description deps public_deps requires)
    set(libs "-l${name}")
    if(BUILD_SHARED_LIBS)
        set(requires "")
    else()
        foreach(dep IN LISTS deps)
            if(dep MATCHES "^netpoll::(.*)$")
                list(APPEND requires ${CMAKE_MATCH_1})
            elseif(dep STREQUAL "Threads::Threads")
                string(APPEND libs " -pthread")
            endif()
        endforeach()
    endif()
    foreach(dep IN LISTS public_deps)
        if(dep MATCHES "^netpoll::(.*)$")
            list(APPEND requires ${CMAKE_MATCH_1})
        endif()
    endforeach()
    list(JOIN requires ", " requires)
    # From the file's own folder, so that the whole prefix can be moved.
    file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" prefix "\${pcfiledir}/${up}")
    configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/module.pc.in ${name}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# One module. Its targets are a file of their own: who asks for another module does not need what
# this one needs.
function(netpoll_install_module name description deps public_deps requires)
    # Installed modules find each other wherever the prefix is.
    set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN")
    install(TARGETS ${name} EXPORT netpoll-${name}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT netpoll-${name} NAMESPACE netpoll:: DESTINATION ${netpoll_package_dir})
    netpoll_install_pc(${name} "${description}" "${deps}" "${public_deps}" "${requires}")
endfunction()

# The package that find_package(netpoll) reads. Before 1.0 a minor version may break what links.
function(netpoll_install_package)
    set(NETPOLL_LINKS_URING OFF)
    if(NETPOLL_URING AND NOT BUILD_SHARED_LIBS)
        set(NETPOLL_LINKS_URING ON)
    endif()
    configure_package_config_file(
        ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/netpollConfig.cmake.in
        ${CMAKE_CURRENT_BINARY_DIR}/netpollConfig.cmake
        INSTALL_DESTINATION ${netpoll_package_dir}
        NO_SET_AND_CHECK_MACRO)
    write_basic_package_version_file(
        ${CMAKE_CURRENT_BINARY_DIR}/netpollConfigVersion.cmake
        VERSION ${NETPOLL_VERSION}
        COMPATIBILITY SameMinorVersion)
    install(FILES
        ${CMAKE_CURRENT_BINARY_DIR}/netpollConfig.cmake
        ${CMAKE_CURRENT_BINARY_DIR}/netpollConfigVersion.cmake
        DESTINATION ${netpoll_package_dir})
endfunction()
