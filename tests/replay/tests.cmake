# A case is a folder in pcaps/: input.pcap (or .pcapng, .gz, .zst) is replayed under policy.toml and must give
# expected.jsonl; where there is an expected-frames.jsonl, its frame rows too (docs/replay.md).
file(GLOB replay_cases CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/pcaps/*/policy.toml)
foreach(policy ${replay_cases})
  get_filename_component(folder ${policy} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  file(GLOB input ${folder}/input.*)
  foreach(kind "" "-frames")
    set(expected expected${kind}.jsonl)
    # Only the transcript must be there: a case that lacks it fails as unreadable.
    if(kind STREQUAL "" OR EXISTS ${folder}/${expected})
      add_test(NAME case.${name}${kind} WORKING_DIRECTORY ${folder}
               COMMAND sallyport replay --policy policy.toml --expect ${expected} ${input})
    endif()
  endforeach()
endforeach()
