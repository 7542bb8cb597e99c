#include "replay_report.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string_view>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/replay/report.h"
#include "sallyport/report/comparison.h"
#include "sallyport/report/html_report.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

bool write_page(const std::string& file, const std::string& page) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(page.data(), static_cast<std::streamsize>(page.size()));
  out.close();
  if (out) return true;
  std::fprintf(stderr, "sallyport replay: cannot write %s\n", replay::printable(file).c_str());
  return false;
}

// replay_with replays all files under one policy; false: one could not be read to its end.
bool replay_with(const std::vector<std::filesystem::path>& files, const replay::ReplayOptions& options, const std::function<void(const replay::CaptureResult&)>& take) {
  bool whole = true;
  ProgressBar progress;
  replay::replay_all(
      files, options,
      [&](replay::CaptureResult&& result) {
        progress.clear();
        if (result.error) {
          whole = false;
          std::fprintf(stderr, "sallyport replay: %s: %s\n", replay::printable(result.file.string()).c_str(), replay::printable(*result.error).c_str());
        }
        take(result);
      },
      [&](std::uint64_t done, std::uint64_t total) { progress.show(done, total); });
  return whole;
}

// is_page_or_new tells whether a page may be written there: whatever else it is, a policy or a capture, is left alone.
bool is_page_or_new(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return true;  // What cannot be written says so.
  constexpr std::string_view kBegin = "<!doctype html>";
  std::string begin(kBegin.size(), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  return begin.empty() || begin == kBegin;
}

}  // namespace

int run_replay_report(const ReportRequest& request, const std::vector<std::filesystem::path>& files, replay::ReplayOptions options) {
  options.json = options.frames = false;
  if (!request.html.empty() && !is_page_or_new(request.html)) {
    std::fprintf(stderr, "sallyport replay: %s is there and is no page; it is left alone\n", replay::printable(request.html).c_str());
    return kExitUsage;
  }
  const bool compares = !request.compare_new.empty();
  report::Comparison comparison;
  if (compares) {
    options.policy = load_live_policy(request.compare_old);
    if (options.policy == nullptr) return kExitUsage;
    const auto newer = load_live_policy(request.compare_new);
    if (newer == nullptr) return kExitUsage;
    const auto old = options.policy;
    // What cannot be read is said once, of the second run.
    replay::replay_all(files, options, [&](replay::CaptureResult&& result) { comparison.add_old(result, *old); }, [](std::uint64_t, std::uint64_t) {});
    options.policy = newer;
  }
  std::unique_ptr<report::HtmlReport> page;
  if (!request.html.empty()) page = std::make_unique<report::HtmlReport>(options.policy, compares ? request.compare_new : request.policy);
  const bool whole = replay_with(files, options, [&](const replay::CaptureResult& result) {
    if (compares) comparison.add_new(result, *options.policy);
    if (page) page->add(result);
  });
  if (compares) {
    const std::string text = request.json ? comparison.to_json() : comparison.to_text(terminal_has_colour());
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (page && !write_page(request.html, page->page(compares ? &comparison : nullptr))) return kExitNo;
  return whole && !comparison.changes_verdicts() ? kExitOk : kExitNo;
}

}  // namespace sallyport::cli
