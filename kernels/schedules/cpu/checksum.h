// Checksums of the parameters that panels were packed from: a write that torch doesn't count, as through `.data`, changes them.
// `generate_source` inserts this file after product.h.

constexpr int64_t LINE = 64;  // bytes of a cache line, and of a checksum
typedef uint32_t Words __attribute__((vector_size(BYTES)));

struct Checksum {
    Words parts[LINE / BYTES] = {};
    bool operator==(const Checksum& other) const { return !__builtin_memcmp(parts, other.parts, sizeof parts); }
    void add(const char* line, uint32_t place) {
#pragma GCC unroll 4
        for (int i = 0; i < LINE / BYTES; i++) {
            Words x;
            __builtin_memcpy(&x, line + i * BYTES, BYTES);
            x = (x ^ place * 0x9E3779B1u) * 0x85EBCA6Bu;
            parts[i] += x ^ x >> 15;
        }
    }
};

// A parameter and its checksums. Checksum p is of lines b of rows n with (n + b) % phases == p, so that a call need not read all lines.
struct Watched {
    const char* at;
    int64_t rows, row_bytes, phases;
    Checksum* sums;

    // Adds every `step`-th line of row n, from line b on; sum(b) is where line b belongs.
    template <class Sum> void add_row(int64_t n, int64_t b, int64_t step, Sum sum) const {
        const int64_t whole = row_bytes / LINE, lines = whole + (row_bytes % LINE > 0);
        const char* row = at + n * row_bytes;
        for (; b < whole; b += step) sum(b).add(row + b * LINE, uint32_t(n * lines + b));
        if (b >= lines) return;
        char last[LINE] = {};
        __builtin_memcpy(last, row + b * LINE, row_bytes - b * LINE);
        sum(b).add(last, uint32_t(n * lines + b));
    }
    void take() const {
        for (int64_t p = 0; p < phases; p++) sums[p] = Checksum();
        for (int64_t n = 0; n < rows; n++) add_row(n, 0, 1, [&](int64_t b) -> Checksum& { return sums[(n + b) % phases]; });
    }
    bool agrees(int64_t phase) const {
        Checksum found;
        for (int64_t n = 0, b = phase; n < rows; n++, b = b ? b - 1 : phases - 1)
            add_row(n, b, phases, [&](int64_t) -> Checksum& { return found; });
        return found == sums[phase];
    }
};
