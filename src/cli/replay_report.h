// The forms of `replay` that report beside flows: a page, and what would change between two policies.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sallyport/replay/replay.h"

namespace sallyport::cli {

struct ReportRequest {
  std::string html;                   // File to write, or empty.
  std::vector<std::string> compare;   // OLD and NEW, or none.
  std::string policy;                 // File; empty: the embedded one. Not used where there is a comparison.
  bool json = false;
};

// run_replay_report returns the exit code: 1 where a comparison changes a verdict, or a capture cannot be read.
int run_replay_report(const ReportRequest& request, const std::vector<std::filesystem::path>& files, replay::ReplayOptions options);

}  // namespace sallyport::cli
