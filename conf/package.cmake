# What is installed beside the programs, and the packages that cpack makes of it.

find_program(GZIP gzip REQUIRED)

# Installs `source`, compressed as Debian asks for, as `name`.gz.
function(warren_install_compressed source name destination)
	cmake_path(GET destination FILENAME under)
	set(out ${PROJECT_BINARY_DIR}/compressed/${under}/${name}.gz)
	add_custom_command(OUTPUT ${out} DEPENDS ${PROJECT_SOURCE_DIR}/${source} VERBATIM
		COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/compressed/${under}
		COMMAND ${GZIP} -9nc ${PROJECT_SOURCE_DIR}/${source} > ${out})
	string(MAKE_C_IDENTIFIER "compressed_${name}" target)
	add_custom_target(${target} ALL DEPENDS ${out})
	install(FILES ${out} DESTINATION ${destination})
endfunction()

foreach(page daemon/warrend.8 daemon/config/warren.conf.5 ctl/warrenctl.8)
	string(REGEX MATCH "[0-9]$" section ${page})
	cmake_path(GET page FILENAME name)
	warren_install_compressed(${page} ${name} ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
warren_install_compressed(CHANGELOG.md changelog ${CMAKE_INSTALL_DOCDIR})
warren_install_compressed(conf/deb/changelog changelog.Debian ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md conf/deb/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES conf/peer.conf conf/coordinator.conf DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

# Below the prefix each of them is looked for in /usr/local too, but for NetworkManager's.
install(FILES conf/warren@.service conf/warren@.socket conf/warren.target DESTINATION lib/systemd/system)
install(FILES conf/system/10-warren.network DESTINATION lib/systemd/network)
install(FILES conf/warren.sysusers DESTINATION lib/sysusers.d RENAME warren.conf)
install(FILES conf/warren.tmpfiles DESTINATION lib/tmpfiles.d RENAME warren.conf)
install(FILES conf/system/90-warren.conf DESTINATION lib/NetworkManager/conf.d)
install(FILES conf/system/warren.xml DESTINATION lib/firewalld/services)
install(FILES conf/system/coordinator.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/warren)
# Not in /etc/init.d: below systemd it would be taken for a service of the old kind.
install(PROGRAMS conf/openrc/warren DESTINATION ${CMAKE_INSTALL_DATADIR}/warren/openrc)

file(GLOB schemas CONFIGURE_DEPENDS conf/schema/*.json)
install(FILES ${schemas} DESTINATION ${CMAKE_INSTALL_DATADIR}/warren/schema)

# What a shell reads is the program's to say. One built for another machine cannot be asked, unless by an emulator, and one with
# sanitizers does not start on every machine.
if(NOT WARREN_SANITIZE AND (NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR))
	foreach(shell bash zsh fish)
		set(out ${PROJECT_BINARY_DIR}/completion/${shell})
		add_custom_command(OUTPUT ${out} DEPENDS warrenctl VERBATIM
			COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/completion
			COMMAND warrenctl completion ${shell} > ${out})
		add_custom_target(completion_${shell} ALL DEPENDS ${out})
	endforeach()
	install(FILES ${PROJECT_BINARY_DIR}/completion/bash RENAME warrenctl
		DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
	install(FILES ${PROJECT_BINARY_DIR}/completion/zsh RENAME _warrenctl
		DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
	install(FILES ${PROJECT_BINARY_DIR}/completion/fish RENAME warrenctl.fish
		DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

# ---------------------------------------------------------------- cpack

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME warren)
set(CPACK_PACKAGE_VENDOR "the warren authors")
set(CPACK_PACKAGE_CONTACT "the warren authors <maintainers@warren.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "userspace mesh VPN that gets through NATs")
set(CPACK_PACKAGE_DESCRIPTION "Warren joins hosts that sit behind NATs into one private IP network.
They register with a coordinator, find direct paths to each other and
carry encrypted packets between their TUN interfaces; where there is no
direct path, packets go through the coordinator, sealed end to end.
.
This package has the daemon, warrend, which is peer or coordinator as
its configuration says, and warrenctl, which asks it.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
	OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/conf/package_kind.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/conf/deb/postinst ${PROJECT_SOURCE_DIR}/conf/deb/prerm
	${PROJECT_SOURCE_DIR}/conf/deb/postrm)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE ON)
include(CPack)
