# A case is a folder in pcaps/: its capture (input.pcap, or another input.*) is replayed under policy.toml and
# must give expected.jsonl, and the frame rows of expected-frames.jsonl where there is one (docs/replay.md).
file(GLOB replay_cases CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/pcaps/*/policy.toml)
file(GLOB replay_frames CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/pcaps/*/expected-frames.jsonl)
file(GLOB replay_inputs CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/pcaps ${CMAKE_SOURCE_DIR}/pcaps/*/input.*)
foreach(policy ${replay_cases})
  get_filename_component(folder ${policy} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  set(input ${replay_inputs})
  list(FILTER input INCLUDE REGEX "^${name}/")
  list(TRANSFORM input REPLACE "^${name}/" "")
  set(replay_command sallyport replay --policy policy.toml)
  add_test(NAME case.${name} WORKING_DIRECTORY ${folder} COMMAND ${replay_command} --expect expected.jsonl ${input})
  if(${folder}/expected-frames.jsonl IN_LIST replay_frames)
    add_test(NAME case.${name}.frames WORKING_DIRECTORY ${folder}
             COMMAND ${replay_command} --frames --expect expected-frames.jsonl ${input})
  endif()
endforeach()
