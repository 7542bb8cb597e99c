# A report in a browser: headless Chromium, from a file, without a network.
if(TARGET sallyport)
  file(GLOB report_captures ${CMAKE_SOURCE_DIR}/pcaps/tls-*/input.pcap ${CMAKE_SOURCE_DIR}/pcaps/http-*/input.pcap)
  add_test(NAME report.browser COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tests/report/browser_test.py $<TARGET_FILE:sallyport> ${report_captures})
  set_tests_properties(report.browser PROPERTIES SKIP_REGULAR_EXPRESSION "SKIPPED: " TIMEOUT 240)
endif()
