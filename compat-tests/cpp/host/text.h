// Text of the host: numbers, hexadecimal, members, JSON. Parsing answers false or throws Wrong.
#ifndef HOST_TEXT_H
#define HOST_TEXT_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "rsl.h"

namespace host {

// A wrong argument or command: its text is for the user.
struct Wrong : std::runtime_error {
    explicit Wrong(const std::string& what) : std::runtime_error(what) {}
};

typedef std::vector<unsigned char> Bytes;

// Decimal digits only, up to `most`.
inline uint64_t ParseNumber(const std::string& text, const std::string& what, uint64_t most) {
    uint64_t value = 0;
    bool fits = !text.empty();
    for (size_t i = 0; fits && i < text.size(); i++) {
        const uint64_t digit = static_cast<uint64_t>(text[i] - '0');
        fits = text[i] >= '0' && text[i] <= '9' && digit <= most && value <= (most - digit) / 10;
        value = value * 10 + digit;
    }
    if (!fits) {
        throw Wrong(what + " is no number: " + text);
    }
    return value;
}

// The same with a sign.
inline int64_t ParseSigned(const std::string& text, const std::string& what) {
    const uint64_t most = static_cast<uint64_t>(INT64_MAX);
    if (!text.empty() && text[0] == '-') {
        return -static_cast<int64_t>(ParseNumber(text.substr(1), what, most));
    }
    return static_cast<int64_t>(ParseNumber(text, what, most));
}

inline Bytes ParseHex(const std::string& text) {
    if (text.size() % 2 != 0) {
        throw Wrong(text.substr(0, 40) + ": odd number of digits");
    }
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    unsigned int value = 0;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) {
            throw Wrong(text.substr(0, 40) + ": not hexadecimal");
        }
        value = value * 16 + static_cast<unsigned int>(digit);
        if (i % 2 == 1) {
            bytes.push_back(static_cast<unsigned char>(value));
            value = 0;
        }
    }
    return bytes;
}

inline std::string Hex(const void* data, size_t length) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char* bytes = static_cast<const unsigned char*>(data);
    std::string text;
    for (size_t i = 0; i < length; i++) {
        text += digits[bytes[i] >> 4];
        text += digits[bytes[i] & 15];
    }
    return text;
}

inline std::string Hex64(uint64_t value) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

inline std::vector<std::string> Split(const std::string& text, char separator) {
    std::vector<std::string> parts(1);
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == separator) {
            parts.push_back(std::string());
        } else {
            parts.back() += text[i];
        }
    }
    return parts;
}

// A dotted address as it stands in memory.
inline bool ParseIp(const std::string& text, unsigned int* ip) {
    const std::vector<std::string> parts = Split(text, '.');
    unsigned char bytes[4];
    if (parts.size() != 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        bytes[i] = static_cast<unsigned char>(ParseNumber(parts[i], "address", 255));
    }
    memcpy(ip, bytes, 4);
    return true;
}

inline std::string IpText(unsigned int ip) {
    unsigned char bytes[4];
    memcpy(bytes, &ip, 4);
    std::ostringstream out;
    out << int(bytes[0]) << '.' << int(bytes[1]) << '.' << int(bytes[2]) << '.' << int(bytes[3]);
    return out.str();
}

inline void Copy(char* target, size_t size, const std::string& text, const char* what) {
    if (text.size() >= size) {
        throw Wrong(std::string(what) + " is too long");
    }
    memset(target, 0, size);
    memcpy(target, text.data(), text.size());
}

// id@ip:port[:learnport][/hostname]
inline RSLib::RSLNode ParseMember(const std::string& text) {
    RSLib::RSLNode node;
    const size_t at = text.find('@');
    if (at == std::string::npos || at == 0) {
        throw Wrong(text + ": no member id@ip:port");
    }
    Copy(node.m_memberIdString, sizeof node.m_memberIdString, text.substr(0, at), "the member id");
    const size_t slash = text.find('/', at);
    if (slash != std::string::npos) {
        Copy(node.m_hostName, sizeof node.m_hostName, text.substr(slash + 1), "the host name");
    }
    const std::vector<std::string> parts = Split(text.substr(at + 1, slash == std::string::npos ? slash : slash - at - 1), ':');
    if (parts.size() < 2 || parts.size() > 3 || !ParseIp(parts[0], &node.m_ip)) {
        throw Wrong(text + ": no member id@ip:port");
    }
    node.m_rslPort = static_cast<unsigned short>(ParseNumber(parts[1], "the port", 65535));
    node.m_rslLearnPort = parts.size() == 3 ? static_cast<unsigned short>(ParseNumber(parts[2], "the learn port", 65535)) : 0;
    return node;
}

inline RSLib::RSLNodeCollection ParseMembers(const std::string& text) {
    RSLib::RSLNodeCollection nodes;
    const std::vector<std::string> parts = Split(text, ',');
    for (size_t i = 0; i < parts.size(); i++) {
        nodes.Append(ParseMember(parts[i]));
    }
    return nodes;
}

inline std::string Quoted(const std::string& text) {
    std::string out = "\"";
    for (size_t i = 0; i < text.size(); i++) {
        const unsigned char c = static_cast<unsigned char>(text[i]);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += text[i];
        } else if (c < 0x20 || c >= 0x7f) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", c);
            out += escape;
        } else {
            out += text[i];
        }
    }
    return out + "\"";
}

// A JSON object, field by field.
class Json {
public:
    Json& Raw(const char* name, const std::string& value) {
        m_text += m_text.empty() ? "" : ", ";
        m_text += Quoted(name) + ": " + value;
        return *this;
    }
    Json& Text(const char* name, const std::string& value) { return Raw(name, Quoted(value)); }
    Json& Number(const char* name, uint64_t value) { return Raw(name, std::to_string(value)); }
    Json& Real(const char* name, double value) { return Raw(name, std::to_string(value)); }
    Json& Flag(const char* name, bool value) { return Raw(name, value ? "true" : "false"); }
    std::string Done() const { return "{" + m_text + "}"; }

private:
    std::string m_text;
};

} // namespace host

#endif
