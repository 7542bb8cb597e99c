# Man pages, shell completions and the schema of the policy, made from the program itself, and the .deb (tools/package).
set(manual ${CMAKE_SOURCE_DIR}/packaging/manual)
set(share ${CMAKE_BINARY_DIR}/share)

# The manual is as old as the last entry of the changelog.
file(STRINGS ${CMAKE_SOURCE_DIR}/packaging/debian/changelog.in manual_date REGEX "^ -- " LIMIT_COUNT 1)
string(REGEX REPLACE "^ -- .*>  [A-Za-z]+, ([0-9]+ [A-Za-z]+ [0-9]+) .*" "\\1" manual_date "${manual_date}")

# The program's own objects but for main(), which is compiled once more to print the commands in place of running one.
add_executable(sallyport_describe EXCLUDE_FROM_ALL src/cli/main.cc ${manual}/describe.cc)
target_sources(sallyport_describe PRIVATE $<FILTER:$<TARGET_OBJECTS:sallyport>,EXCLUDE,main\\.cc>)
target_include_directories(sallyport_describe PRIVATE src/cli ${manual})
target_compile_definitions(sallyport_describe PRIVATE $<TARGET_PROPERTY:sallyport,COMPILE_DEFINITIONS> SALLYPORT_DESCRIBE)
target_link_libraries(sallyport_describe PRIVATE $<TARGET_PROPERTY:sallyport,LINK_LIBRARIES>)

find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
file(GLOB manual_sources CONFIGURE_DEPENDS ${manual}/*.py ${manual}/*.in)
set(manual_files ${share}/commands.json ${share}/man/sallyport.1 ${share}/man/sallyport.toml.5 ${share}/policy.schema.json
    ${share}/completions/sallyport.bash ${share}/completions/_sallyport ${share}/completions/sallyport.fish)
add_custom_command(OUTPUT ${manual_files}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${share}
  COMMAND $<TARGET_FILE:sallyport_describe> > ${share}/commands.json
  COMMAND ${Python3_EXECUTABLE} -B ${manual}/generate.py ${share}/commands.json ${CMAKE_SOURCE_DIR} ${share} ${PROJECT_VERSION} "${manual_date}"
  DEPENDS sallyport_describe ${manual_sources} ${CMAKE_SOURCE_DIR}/docs/policy.md
  COMMENT "Man pages, completions, schema" VERBATIM)

# --- The .deb: the component "package", below / -----------------------------------------------------
set(SALLYPORT_PACKAGE_RELEASE 1 CACHE STRING "Debian revision of the package")
set(debian ${CMAKE_SOURCE_DIR}/packaging/debian)
set(systemd ${CMAKE_SOURCE_DIR}/packaging/systemd)
set(doc usr/share/doc/sallyport)
configure_file(${debian}/changelog.in ${share}/changelog @ONLY)
macro(package_file file destination)
  install(FILES ${file} DESTINATION ${destination} COMPONENT package EXCLUDE_FROM_ALL ${ARGN})
endmacro()
install(TARGETS sallyport RUNTIME DESTINATION usr/sbin COMPONENT package EXCLUDE_FROM_ALL)
package_file(${debian}/policy.toml etc/sallyport)
package_file(${systemd}/sallyport.service lib/systemd/system)
package_file(${systemd}/sallyport-rules.service lib/systemd/system)
package_file(${systemd}/sysusers.conf usr/lib/sysusers.d RENAME sallyport.conf)
package_file(${systemd}/tmpfiles.conf usr/lib/tmpfiles.d RENAME sallyport.conf)
package_file(${share}/completions/sallyport.bash usr/share/bash-completion/completions RENAME sallyport)
package_file(${share}/completions/_sallyport usr/share/zsh/vendor-completions)
package_file(${share}/completions/sallyport.fish usr/share/fish/vendor_completions.d)
package_file(${share}/policy.schema.json usr/share/sallyport)
package_file(${debian}/copyright ${doc})
package_file(${debian}/lintian-overrides usr/share/lintian/overrides RENAME sallyport)
package_file(${CMAKE_SOURCE_DIR}/README.md ${doc})
file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
package_file("${pages}" ${doc}/docs)

# gzip with a fixed header, so that the same sources make the same package.
foreach(pair "${share}/man/sallyport.1|usr/share/man/man1|sallyport.1.gz" "${share}/man/sallyport.toml.5|usr/share/man/man5|sallyport.toml.5.gz"
             "${share}/changelog|${doc}|changelog.Debian.gz" "${CMAKE_SOURCE_DIR}/CHANGELOG.md|${doc}|changelog.gz")
  string(REPLACE "|" ";" pair ${pair})
  list(GET pair 0 source)
  list(GET pair 1 destination)
  list(GET pair 2 name)
  add_custom_command(OUTPUT ${share}/compressed/${name}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${share}/compressed
    COMMAND gzip -9n < ${source} > ${share}/compressed/${name}
    DEPENDS ${source} VERBATIM)
  list(APPEND compressed ${share}/compressed/${name})
  package_file(${share}/compressed/${name} ${destination})
endforeach()
# A build with sanitizers, or for the fuzzers alone, needs none of them.
if(NOT SALLYPORT_SANITIZE)
  add_custom_target(sallyport_manual ALL DEPENDS ${manual_files} ${compressed})
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};sallyport;package;/")
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR})
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${SALLYPORT_PACKAGE_RELEASE})
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "Sallyport maintainers <maintainers@sallyport.invalid>")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "iptables, nftables, iproute2, systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_PREDEPENDS "init-system-helpers (>= 1.54~)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "conntrack, tcpdump")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${debian}/conffiles;${debian}/postinst;${debian}/prerm;${debian}/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "host-level egress firewall that decides by name")
file(READ ${debian}/description CPACK_DEBIAN_PACKAGE_DESCRIPTION)
include(CPack)
