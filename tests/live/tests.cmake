# Live tests need root, real servers and a kernel with NFQUEUE; without them they say SKIPPED and exit with 77. Each has
# namespaces of its own and mostly waits, so two may run at once; ALONE is for those that look at times or rates.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)

function(sallyport_live name timeout)
  add_test(NAME live.${name} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tests/live/test_${name}.py)
  cmake_parse_arguments(PARSE_ARGV 2 arg "ALONE" "" "")
  set_tests_properties(live.${name} PROPERTIES
    LABELS live RUN_SERIAL ${arg_ALONE} TIMEOUT ${timeout} SKIP_RETURN_CODE 77
    ENVIRONMENT "SALLYPORT=${CMAKE_BINARY_DIR}/sallyport;PYTHONDONTWRITEBYTECODE=1")
endfunction()

sallyport_live(testbed 180 ALONE)
sallyport_live(tls 300)
sallyport_live(http 240)
sallyport_live(quic 240)
sallyport_live(ssh 180)
sallyport_live(ssh_host_keys 200)
sallyport_live(starttls 300)
sallyport_live(dns 240)
sallyport_live(dns_egress 240)
sallyport_live(plain 240)
sallyport_live(offload 600 ALONE)
sallyport_live(retransmission 240 ALONE)
sallyport_live(failure 320 ALONE)
sallyport_live(rules 240)
sallyport_live(tunnels 260)
sallyport_live(bindings 300)
sallyport_live(forged_answers 240)
sallyport_live(stubs 260)
sallyport_live(forgeries 320)
sallyport_live(icmp 240)
sallyport_live(ip_protocols 240)
sallyport_live(chromium 150 ALONE)
