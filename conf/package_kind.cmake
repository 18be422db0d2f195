# Read by cpack once for each kind of package. The .deb's symbols become a package of their own.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
	set(CPACK_STRIP_FILES ON)
endif()
