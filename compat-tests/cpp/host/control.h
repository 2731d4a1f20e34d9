// The control port: text lines in, one JSON object per line out, a thread per connection.
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#ifdef _WIN32
#include <winsock2.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "commands.h"

namespace host {

#ifdef _WIN32
typedef SOCKET Socket;
inline void CloseSocket(Socket socket) { closesocket(socket); }
inline bool IsBad(Socket socket) { return socket == INVALID_SOCKET; }
#else
typedef int Socket;
inline void CloseSocket(Socket socket) { close(socket); }
inline bool IsBad(Socket socket) { return socket < 0; }
#endif

// Longest command line: a request of 16 MiB in hexadecimal.
const size_t MaxLine = 32u << 20;

// Binds 127.0.0.1:port.
inline bool Listen(unsigned short port, Socket* out) {
#ifdef _WIN32
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
#endif
    const Socket listener = socket(AF_INET, SOCK_STREAM, 0);
    if (IsBad(listener)) {
        return false;
    }
#ifndef _WIN32
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
#endif
    sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener, 16) != 0) {
        CloseSocket(listener);
        return false;
    }
    *out = listener;
    return true;
}

inline bool SendAll(Socket socket, const std::string& text) {
#ifdef MSG_NOSIGNAL
    const int flags = MSG_NOSIGNAL;
#else
    const int flags = 0;
#endif
    for (size_t sent = 0; sent < text.size();) {
        const long count = static_cast<long>(send(socket, text.data() + sent, static_cast<int>(text.size() - sent), flags));
        if (count <= 0) {
            return false;
        }
        sent += static_cast<size_t>(count);
    }
    return true;
}

inline void ServeConnection(Socket socket, Commands& commands) {
    const int yes = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&yes), sizeof yes);
    std::string line;
    bool tooLong = false;
    std::vector<char> buffer(65536);
    for (;;) {
        const long count = static_cast<long>(recv(socket, buffer.data(), static_cast<int>(buffer.size()), 0));
        if (count <= 0) {
            break;
        }
        for (long i = 0; i < count; i++) {
            const char c = buffer[static_cast<size_t>(i)];
            if (c != '\n') {
                tooLong = tooLong || line.size() >= MaxLine;
                if (!tooLong) {
                    line += c;
                }
                continue;
            }
            int end = -1;
            const std::string answer = tooLong ? Json().Text("error", "the line is too long").Done() : commands.Run(line, &end);
            line.clear();
            tooLong = false;
            const bool sent = SendAll(socket, answer + "\n");
            if (end >= 0) {
                fflush(NULL);
                std::_Exit(end);
            }
            if (!sent) {
                CloseSocket(socket);
                return;
            }
        }
    }
    CloseSocket(socket);
}

inline void Serve(Socket listener, Commands& commands) {
    std::thread([listener, &commands] {
        for (;;) {
            const Socket connection = accept(listener, NULL, NULL);
            if (!IsBad(connection)) {
                std::thread([connection, &commands] { ServeConnection(connection, commands); }).detach();
            }
        }
    }).detach();
}

} // namespace host

#endif
