# Mutations of the cases' captures. tools/mutate runs many more, of any folder, under the sanitizers.
add_executable(mutate_captures ${CMAKE_CURRENT_SOURCE_DIR}/mutate/mutate_captures.cc)
target_link_libraries(mutate_captures PRIVATE sallyport_replay sallyport_warnings)
add_test(NAME mutate.cases COMMAND mutate_captures --mutations 20 ${CMAKE_SOURCE_DIR}/pcaps)
