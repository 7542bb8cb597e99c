// NamespaceLock is held by who has rules of ours in this network namespace: the end of one must not take out the rules of
// another. It is a lock on a file, which ends with the last process that holds it (a fork holds it, too).
#pragma once

#include <expected>
#include <string>

namespace sallyport::daemon {

class NamespaceLock {
 public:
  // take fails with a message when another process has it.
  static std::expected<NamespaceLock, std::string> take();
  NamespaceLock(NamespaceLock&& other) noexcept;
  NamespaceLock& operator=(NamespaceLock&&) = delete;
  ~NamespaceLock();

  // note_removal tells whoever holds the lock, if anyone, that the rules are taken out on purpose (`sallyport rules remove`).
  static void note_removal();
  // forget_removal is for who begins in a namespace that nobody else knows, without the lock: the kernel gives the number of a
  // namespace that is gone to a new one, and the note of the old one would be taken for this one's.
  static void forget_removal();
  // removal_noted tells whether that happened since the lock was taken.
  static bool removal_noted();

 private:
  explicit NamespaceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace sallyport::daemon
