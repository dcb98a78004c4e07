// Checksums of the parameters that panels were packed from: a write that torch doesn't count, as through `.data`, changes them.
// `generate_source` inserts this file after product.h.

typedef uint32_t Line __attribute__((vector_size(64)));  // a cache line

// A parameter and its checksums. Each covers one of `phases` equal parts of the cache lines of every row, so that a call need not read all.
struct Watched {
    const char* at;
    int64_t rows, row_bytes, phases;
    Line* sums;

    int64_t lines() const { return (row_bytes + 63) / 64; }
    Line mix(int64_t n, int64_t b) const {  // of line b of row n, with its place
        const int64_t left = row_bytes - b * 64;
        Line x = {};
        if (left >= 64) __builtin_memcpy(&x, at + n * row_bytes + b * 64, 64);
        else __builtin_memcpy(&x, at + n * row_bytes + b * 64, left);
        x = (x ^ uint32_t(n * lines() + b) * 0x9E3779B1u) * 0x85EBCA6Bu;
        return x ^ x >> 15;
    }
    void take() const {
        for (int64_t p = 0; p < phases; p++) sums[p] = Line{};
        for (int64_t n = 0; n < rows; n++)
            for (int64_t b = 0, p = n % phases; b < lines(); b++, p = p + 1 < phases ? p + 1 : 0) sums[p] += mix(n, b);
    }
    bool agrees(int64_t phase) const {
        Line sum = {};
        for (int64_t n = 0; n < rows; n++)
            for (int64_t b = (phase - n % phases + phases) % phases; b < lines(); b += phases) sum += mix(n, b);
        return !__builtin_memcmp(&sum, &sums[phase], sizeof sum);
    }
};
