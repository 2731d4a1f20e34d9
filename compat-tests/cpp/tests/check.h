// What the C++ tests share.
#ifndef CPP_CHECK_H
#define CPP_CHECK_H

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            std::_Exit(99);                                                  \
        }                                                                    \
    } while (0)

// Waits up to a minute.
inline bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 6000; i++) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

#endif
