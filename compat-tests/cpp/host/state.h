// The replicated state of the host contract, and its checkpoint payload.
#ifndef HOST_STATE_H
#define HOST_STATE_H

#include <algorithm>
#include <functional>

#include "text.h"

namespace host {

inline void PutNumber(Bytes& out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        out.push_back(static_cast<unsigned char>(value >> (8 * i)));
    }
}

inline uint64_t GetNumber(const unsigned char* at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= static_cast<uint64_t>(at[i]) << (8 * i);
    }
    return value;
}

struct State {
    uint64_t count, hash, lastSeq, pad;
    Bytes last;

    State() : count(0), hash(14695981039346656037ull), lastSeq(0), pad(0) {}

    void Hash(const unsigned char* bytes, size_t length) {
        for (size_t i = 0; i < length; i++) {
            hash = (hash ^ bytes[i]) * 1099511628211ull;
        }
    }

    // True: a checkpoint is asked for.
    bool Execute(uint64_t seq, const unsigned char* request, size_t length) {
        Bytes size;
        PutNumber(size, length, 4);
        Hash(size.data(), size.size());
        Hash(request, length);
        count++;
        lastSeq = seq;
        last.assign(request, request + (std::min)(length, size_t(4096)));
        if (length >= 12 && memcmp(request, "\0PAD", 4) == 0) {
            pad = GetNumber(request + 4, 8);
        }
        return length >= 4 && memcmp(request, "\0SAV", 4) == 0;
    }

    static unsigned char PadByte(uint64_t at) { return static_cast<unsigned char>(at * 131 + 7); }

    // Writes the payload; false when `write` fails.
    bool Save(const std::function<bool(const void*, size_t)>& write) const {
        Bytes fixed;
        const char magic[] = "RSLORCL1";
        fixed.assign(magic, magic + 8);
        PutNumber(fixed, count, 8);
        PutNumber(fixed, hash, 8);
        PutNumber(fixed, lastSeq, 8);
        PutNumber(fixed, pad, 8);
        PutNumber(fixed, last.size(), 4);
        fixed.insert(fixed.end(), last.begin(), last.end());
        if (!write(fixed.data(), fixed.size())) {
            return false;
        }
        Bytes chunk;
        for (uint64_t at = 0; at < pad; at += chunk.size()) {
            chunk.resize(static_cast<size_t>((std::min)(pad - at, uint64_t(65536))));
            for (size_t i = 0; i < chunk.size(); i++) {
                chunk[i] = PadByte(at + i);
            }
            if (!write(chunk.data(), chunk.size())) {
                return false;
            }
        }
        return true;
    }

    // Reads a payload of `size` bytes; an empty string, or what is wrong.
    std::string Load(uint64_t size, const std::function<bool(void*, size_t)>& read) {
        unsigned char fixed[44];
        if (!read(fixed, sizeof fixed)) {
            return "short header";
        }
        if (memcmp(fixed, "RSLORCL1", 8) != 0) {
            return "bad magic";
        }
        const uint64_t length = GetNumber(fixed + 40, 4);
        if (length > 4096) {
            return "bad last length";
        }
        State loaded;
        loaded.count = GetNumber(fixed + 8, 8);
        loaded.hash = GetNumber(fixed + 16, 8);
        loaded.lastSeq = GetNumber(fixed + 24, 8);
        loaded.pad = GetNumber(fixed + 32, 8);
        loaded.last.resize(static_cast<size_t>(length));
        if (length > 0 && !read(loaded.last.data(), loaded.last.size())) {
            return "short last";
        }
        if (size < 44 + length || size - 44 - length != loaded.pad) {
            return "bad size";
        }
        Bytes chunk;
        for (uint64_t at = 0; at < loaded.pad; at += chunk.size()) {
            chunk.resize(static_cast<size_t>((std::min)(loaded.pad - at, uint64_t(65536))));
            if (!read(chunk.data(), chunk.size())) {
                return "short pad";
            }
            for (size_t i = 0; i < chunk.size(); i++) {
                if (chunk[i] != PadByte(at + i)) {
                    return "bad pad";
                }
            }
        }
        *this = loaded;
        return "";
    }
};

// The requests of replicate-random: xorshift64 (13, 7, 17), little-endian words.
struct Random {
    uint64_t state;

    Random() : state(88172645463325252ull) {}
    explicit Random(uint64_t seed) : state(seed | 1) {}

    Bytes Request(size_t size) {
        Bytes bytes;
        while (bytes.size() < size) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            PutNumber(bytes, state, 8);
        }
        bytes.resize(size);
        if (!bytes.empty() && bytes[0] == 0) {
            bytes[0] = 1;
        }
        return bytes;
    }
};

} // namespace host

#endif
