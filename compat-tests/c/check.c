/* The state machine and the helpers of the C tests. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <time.h>

void sleep_ms(int ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

static int32_t load_state(void *ctx, rsl_reader *reader)
{
    app *self = ctx;
    atomic_fetch_add(&self->loads, 1);
    if (reader == NULL) {
        atomic_store(&self->sum, 0);
        return 1;
    }
    SAME(rsl_reader_size(reader), 8);
    SAME(rsl_reader_tell(reader), 0);
    CHECK(strstr(rsl_reader_path(reader), ".codex") != NULL);
    /* A reader of the library can neither be closed nor be a template. */
    rsl_reader_close(reader);
    rsl_writer *writer = NULL;
    CHECK(rsl_writer_create_like(reader, "like.codex", &writer) != 0);
    unsigned long long sum = 0;
    uint64_t got = 0;
    SAME(rsl_reader_read(reader, &sum, 8, &got), 0);
    SAME(got, 8);
    const void *data = "untouched";
    SAME(rsl_reader_data_pointer(reader, 8, &data, &got), RSL_WIN32_HANDLE_EOF);
    SAME(got, 0);
    CHECK(strcmp(data, "untouched") == 0);
    atomic_store(&self->sum, sum);
    return 1;
}

static void execute(void *ctx, const void *request, size_t len, void *cookie, int32_t *save_state)
{
    app *self = ctx;
    CHECK(len > 0);
    SAME(*save_state, 0);
    atomic_fetch_add(&self->sum, *(const unsigned char *)request);
    atomic_fetch_add(&self->cookies, (unsigned long long)(uintptr_t)cookie);
    if (self->inside != NULL) {
        self->inside(self);
    }
    *save_state = atomic_exchange(&self->want_save, 0);
    atomic_fetch_add(&self->executed, 1);
}

static void fast_read(void *ctx, const void *request, size_t len, void *cookie)
{
    app *self = ctx;
    CHECK(len > 0 && request != NULL);
    atomic_fetch_add(&self->reads, (unsigned long long)(uintptr_t)cookie);
}

static void abort_request(void *ctx, rsl_status why, void *cookie)
{
    app *self = ctx;
    CHECK(why == RSL_NOT_PRIMARY || why == RSL_SHUTTING_DOWN || why == RSL_FAST_READ_STALE);
    atomic_fetch_add(&self->abort_cookies, (unsigned long long)(uintptr_t)cookie);
    atomic_fetch_add(&self->aborted, 1);
}

static int32_t try_save_state(void *ctx, rsl_writer *writer)
{
    app *self = ctx;
    unsigned long long sum = atomic_load(&self->sum);
    rsl_writer_free(writer);
    SAME(rsl_writer_write(writer, &sum, 3), 0);
    SAME(rsl_writer_write(writer, (const char *)&sum + 3, 5), 0);
    SAME(rsl_writer_write(writer, NULL, 0), 0);
    if (self->close_in_save) {
        SAME(rsl_writer_close(writer), 0);
        SAME(rsl_writer_close(writer), 0);
        SAME(rsl_writer_write(writer, &sum, 8), RSL_WIN32_INVALID_HANDLE);
    }
    return 1;
}

static void state_saved(void *ctx, uint64_t seq, const char *file)
{
    app *self = ctx;
    snprintf(self->saved_file, sizeof self->saved_file, "%s", file);
    atomic_store(&self->saved_at, seq);
}

static void state_copied(void *ctx, uint64_t seq, const char *file, void *cookie)
{
    app *self = ctx;
    CHECK((seq == 0) == (file == NULL));
    atomic_store(&self->copied_cookie, (unsigned long long)(uintptr_t)cookie);
    atomic_fetch_add(&self->copied, 1);
}

static void notify_status(void *ctx, int32_t is_primary)
{
    app *self = ctx;
    CHECK(is_primary == 0 || is_primary == 1);
    atomic_store(&self->primary, is_primary);
    atomic_fetch_add(&self->status_calls, 1);
}

static void notify_primary_recovered(void *ctx)
{
    atomic_store(&((app *)ctx)->recovered, 1);
}

static void notify_configuration_changed(void *ctx, void *cookie)
{
    app *self = ctx;
    atomic_store(&self->changed_cookie, (unsigned long long)(uintptr_t)cookie);
    atomic_fetch_add(&self->changes, 1);
}

static void abort_change_configuration(void *ctx, rsl_status why, void *cookie)
{
    (void)ctx;
    (void)cookie;
    CHECK(why == RSL_NOT_PRIMARY || why == RSL_SHUTTING_DOWN);
}

static int32_t can_become_primary(void *ctx, rsl_cookie_sink *sink)
{
    app *self = ctx;
    SAME(rsl_cookie_sink_set(sink, "first", 5), RSL_OK);
    SAME(rsl_cookie_sink_set(sink, "cookie", 6), RSL_OK);
    SAME(rsl_cookie_sink_set(sink, NULL, 6), RSL_E_ARGUMENT);
    atomic_fetch_add(&self->asked, 1);
    return 1;
}

static void shut_down(void *ctx, rsl_status why)
{
    app *self = ctx;
    SAME(why, RSL_SHUTTING_DOWN);
    atomic_fetch_add(&self->shut_downs, 1);
}

rsl_callbacks app_callbacks(void)
{
    rsl_callbacks table;
    memset(&table, 0, sizeof table);
    table.struct_size = sizeof table;
    table.flags = RSL_CB_DEFAULT_RESOLVE;
    table.load_state = load_state;
    table.execute_replicated = execute;
    table.execute_fast_read = fast_read;
    table.abort_request = abort_request;
    table.try_save_state = try_save_state;
    table.state_saved = state_saved;
    table.state_copied = state_copied;
    table.notify_status = notify_status;
    table.notify_primary_recovered = notify_primary_recovered;
    table.notify_configuration_changed = notify_configuration_changed;
    table.abort_change_configuration = abort_change_configuration;
    table.can_become_primary = can_become_primary;
    table.shut_down = shut_down;
    return table;
}

rsl_config app_config(const char *directory)
{
    rsl_config config;
    config.struct_size = sizeof config;
    SAME(rsl_config_defaults(&config), RSL_OK);
    SAME(config.struct_size, sizeof config);
    config.flags &= ~(uint32_t)RSL_CFG_MEMBER_ID_IN_WORKING_DIR;
    config.election_delay_sec = 1;
    config.new_leader_grace_period_sec = 1;
    config.heart_beat_interval_sec = 1;
    config.working_dir = directory;
    return config;
}

rsl_node app_node(const char *id, int port)
{
    rsl_node node;
    memset(&node, 0, sizeof node);
    snprintf(node.member_id, sizeof node.member_id, "%s", id);
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&node.ip, loopback, 4);
    node.rsl_port = (uint16_t)port;
    return node;
}

rsl_member_view app_view(const rsl_node *nodes, size_t count)
{
    rsl_member_view view;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    view.nodes = nodes;
    view.node_count = count;
    return view;
}

void app_start(app *app, const char *directory, int port, const rsl_spawn *spawn)
{
    rsl_config config = app_config(directory);
    rsl_node node = app_node("1", port);
    rsl_member_view view = app_view(&node, 1);
    atomic_store(&app->recovered, 0);
    SAME(rsl_machine_initialize(app->machine, &config, &view, &node, 6, 0, spawn, 1), RSL_OK);
    WAIT_FOR(atomic_load(&app->recovered) == 1);
    SAME(atomic_load(&app->primary), 1);
}

typedef struct start {
    rsl_thread_main body;
    void *arg;
} start;

atomic_int app_threads_made;

static void *thread(void *arg)
{
    start *given = arg;
    start copy = *given;
    free(given);
    copy.body(copy.arg);
    return NULL;
}

static int32_t spawn(void *ctx, rsl_thread_main body, int32_t priority, void *arg)
{
    SAME((uintptr_t)ctx, 77);
    CHECK(priority == 0 || priority == 3);
    atomic_fetch_add(&app_threads_made, 1);
    start *given = malloc(sizeof *given);
    CHECK(given != NULL);
    given->body = body;
    given->arg = arg;
    pthread_t id;
    SAME(pthread_create(&id, NULL, thread, given), 0);
    pthread_detach(id);
    return 0;
}

rsl_spawn app_threads(void)
{
    rsl_spawn made;
    memset(&made, 0, sizeof made);
    made.struct_size = sizeof made;
    made.ctx = (void *)(uintptr_t)77;
    made.spawn = spawn;
    return made;
}
