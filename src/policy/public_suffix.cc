#include "public_suffix.h"

#include <libpsl.h>

#include <string>

namespace sallyport::policy {

PublicSuffix public_suffix_of(const DomainName& name) {
  const psl_ctx_t* const list = psl_builtin();
  const std::string text(name.text());
  // Without a list nothing can be told apart; a top-level name is then the only certain public suffix.
  if (list == nullptr)
    return text.find('.') == std::string::npos ? PublicSuffix::kRegistry : PublicSuffix::kNo;
  if (psl_is_public_suffix2(list, text.c_str(), PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) != 0) {
    return PublicSuffix::kRegistry;
  }
  if (psl_is_public_suffix2(list, text.c_str(), PSL_TYPE_PRIVATE | PSL_TYPE_NO_STAR_RULE) != 0) {
    return PublicSuffix::kPrivate;
  }
  return PublicSuffix::kNo;
}

}  // namespace sallyport::policy
