#include "store.h"

#include <rocksdb/env.h>

#include <fcntl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace holdfast_rocks {

namespace {

constexpr off_t log_bytes_max = 1 << 20;

// RocksDB's warnings, in the file LOG of the database and LOG.old before it.
//
// Its own logger (EnvLogger) must not be used: it ignores a failed write and writes to the same WritableFileWriter
// again, which asserts that nobody does so. Distributions build with assertions, so a disk that is full or fails ended
// the process at the next line of that log. Here a line that cannot be written is lost and nothing else: every failure
// that matters comes back as a status.
class WarningLog final : public rocksdb::Logger {
public:
    explicit WarningLog(const std::string &directory)
        : rocksdb::Logger(rocksdb::WARN_LEVEL), path_(directory + "/LOG") {
        begin();
    }

    ~WarningLog() override {
        if (descriptor_ >= 0) close(descriptor_);
    }

    using rocksdb::Logger::Logv;
    void Logv(const char *format, va_list arguments) override {
        char line[2048];
        timeval now;
        gettimeofday(&now, nullptr);
        tm parts;
        gmtime_r(&now.tv_sec, &parts);
        size_t count = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
        count += static_cast<size_t>(
            snprintf(line + count, sizeof line - count, ".%06dZ ", static_cast<int>(now.tv_usec)));
        const int text = vsnprintf(line + count, sizeof line - count - 1, format, arguments);
        if (text < 0) return;
        count = std::min(count + static_cast<size_t>(text), sizeof line - 2);
        if (line[count - 1] != '\n') line[count++] = '\n';

        std::lock_guard<std::mutex> guard(mutex_);
        if (descriptor_ >= 0 && bytes_ > log_bytes_max) begin();
        // Nothing is to be done about a failure, see above.
        if (descriptor_ >= 0) bytes_ += std::max<ssize_t>(0, write(descriptor_, line, count));
    }

private:
    // Puts the file aside and begins another one.
    void begin() {
        if (descriptor_ >= 0) close(descriptor_);
        (void)rename(path_.c_str(), (path_ + ".old").c_str());
        descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        bytes_ = 0;
    }

    const std::string path_;
    std::mutex mutex_;
    int descriptor_ = -1;
    off_t bytes_ = 0;
};

// For a copy that is only read: nothing in its directory changes.
class NoLog final : public rocksdb::Logger {
public:
    NoLog() : rocksdb::Logger(rocksdb::FATAL_LEVEL) {}
    using rocksdb::Logger::Logv;
    void Logv(const char *, va_list) override {}
};

}  // namespace

std::shared_ptr<rocksdb::Logger> make_log(const std::string &directory, bool read_only) {
    if (read_only) return std::make_shared<NoLog>();
    return std::make_shared<WarningLog>(directory);
}

}  // namespace holdfast_rocks
