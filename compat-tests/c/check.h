/* What the C tests share: checks that name the line, and a state machine that counts its callbacks. */
#ifndef CHECK_H
#define CHECK_H
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdatomic.h>

#include "rsl_c.h"

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            char text_[512];                                                               \
            rsl_last_error(text_, sizeof text_);                                           \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, text_); \
            exit(99);                                                                      \
        }                                                                                  \
    } while (0)

#define SAME(left, right)                                                                  \
    do {                                                                                   \
        long long left_ = (long long)(left), right_ = (long long)(right);                  \
        if (left_ != right_) {                                                             \
            char text_[512];                                                               \
            rsl_last_error(text_, sizeof text_);                                           \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld (last error: %s)\n", __FILE__, __LINE__, #left, left_, \
                    right_, text_);                                                        \
            exit(99);                                                                      \
        }                                                                                  \
    } while (0)

/* Waits up to a minute for a condition. */
void sleep_ms(int ms);
#define WAIT_FOR(condition)                         \
    do {                                            \
        int left_ = 6000;                           \
        while (!(condition) && left_-- > 0) {       \
            sleep_ms(10);                           \
        }                                           \
        CHECK(condition);                           \
    } while (0)

/* The application of the tests: a sum over the first bytes of all requests. */
typedef struct app {
    rsl_machine *machine;
    atomic_ullong sum;
    atomic_ullong executed;
    atomic_ullong cookies;     /* sum of the cookies that came back with an execution */
    atomic_ullong reads;
    atomic_ullong aborted;
    atomic_ullong abort_cookies;
    atomic_ullong saved_at;
    atomic_ullong copied;
    atomic_ullong copied_cookie;
    atomic_ullong changed_cookie;
    atomic_int primary;
    atomic_int recovered;
    atomic_int status_calls;
    atomic_int loads;
    atomic_int shut_downs;
    atomic_int changes;
    atomic_int asked;
    atomic_int want_save;
    int close_in_save;
    char saved_file[1024];
    /* Called inside execute_replicated. */
    void (*inside)(struct app *app);
} app;

rsl_callbacks app_callbacks(void);
rsl_config app_config(const char *directory);
rsl_node app_node(const char *id, int port);
rsl_member_view app_view(const rsl_node *nodes, size_t count);
/* Initialises a sole member and waits until it is primary and recovered. */
void app_start(app *app, const char *directory, int port, const rsl_spawn *spawn);
/* Threads made here. */
rsl_spawn app_threads(void);
extern atomic_int app_threads_made;
#endif
