#include "store.h"

namespace holdfast_rocks {

size_t row_prefix(const char *bytes, size_t count) {
    // 'k', the space byte, the escaped key: 0x00 0xFF stands for a zero byte and 0x00 0x01 ends the key.
    if (count < 4 || bytes[0] != 'k') return 0;
    for (size_t at = 2; at + 1 < count;) {
        if (bytes[at] != 0) {
            at += 1;
        } else if (bytes[at + 1] == 1) {
            return at + 2;
        } else {
            at += 2;
        }
    }
    return 0;
}

namespace {

class RowPrefix final : public rocksdb::SliceTransform {
public:
    // Stored in every table file: a change of row_prefix must change it, so that old filters are not consulted.
    const char *Name() const override { return "holdfast.RowPrefix.1"; }
    bool InDomain(const rocksdb::Slice &key) const override { return row_prefix(key.data(), key.size()) > 0; }
    rocksdb::Slice Transform(const rocksdb::Slice &key) const override {
        return rocksdb::Slice(key.data(), row_prefix(key.data(), key.size()));
    }
};

}  // namespace

const rocksdb::SliceTransform *make_row_prefix_transform() { return new RowPrefix(); }

}  // namespace holdfast_rocks
