# What is installed beside the program: completions, man pages, the policy's schema; and that all that is written about
# commands, options and keys agrees with the program. Debian's own Python has the modules.
if(TARGET sallyport_manual)
  foreach(name schema completions consistency manual units)
    add_test(NAME install.${name} COMMAND /usr/bin/python3 -B ${CMAKE_SOURCE_DIR}/tests/install/${name}_test.py ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
    set_tests_properties(install.${name} PROPERTIES SKIP_RETURN_CODE 77 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()
