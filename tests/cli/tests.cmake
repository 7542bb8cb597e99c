# The command line as a person meets it: help, and one line for each wrong use.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
if(TARGET sallyport)
  add_test(NAME cli COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tests/cli/cli_test.py $<TARGET_FILE:sallyport>)
endif()
