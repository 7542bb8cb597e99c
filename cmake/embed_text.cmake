# sallyport_embed_text(LAYER FILE SYMBOL) makes `extern const std::string_view sallyport::LAYER::SYMBOL`, which is the
# content of FILE, and adds it to the layer.
function(sallyport_embed_text layer file symbol)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} content)
  set(output ${CMAKE_BINARY_DIR}/generated/${layer}_${symbol}.cc)
  set(text "// Made by cmake/embed_text.cmake from ${file}.\n#include <string_view>\n\nnamespace sallyport::${layer} {\n")
  string(APPEND text "extern const std::string_view ${symbol};\nconst std::string_view ${symbol} = R\"embed(${content})embed\"")
  string(APPEND text ";\n}  // namespace sallyport::${layer}\n")
  file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
  target_sources(sallyport_${layer} PRIVATE ${output})
endfunction()
