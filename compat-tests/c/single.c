/* A sole member through its whole life: start, requests, reads, checkpoint, streams, unload, restart, end. */
#include "check.h"

static app self;

static void inside(app *app)
{
    /* Legal inside a callback: requests, and everything that is asked. */
    CHECK(rsl_machine_current_sequence(app->machine) > 0);
    CHECK(rsl_machine_highest_passed_sequence(app->machine) >= rsl_machine_current_sequence(app->machine));
    SAME(rsl_machine_has_pending_execution(app->machine), 1);
    /* Forbidden: answered at once, no deadlock. */
    rsl_config config = app_config("nowhere");
    rsl_node node = app_node("1", 1);
    rsl_member_view view = app_view(&node, 1);
    SAME(rsl_machine_pause(app->machine), RSL_E_REENTRANT);
    SAME(rsl_machine_resume(app->machine), RSL_E_REENTRANT);
    SAME(rsl_machine_bootstrap(app->machine, &view, 60), RSL_E_REENTRANT);
    SAME(rsl_machine_initialize(app->machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_REENTRANT);
    rsl_shutdown();
    app->inside = NULL;
    SAME(rsl_machine_replicate(app->machine, "\2", 1, (void *)(uintptr_t)1000, 0), RSL_OK);
}

static void requests(void)
{
    char request[1] = {1};
    self.inside = inside;
    for (unsigned cookie = 1; cookie <= 100; cookie++) {
        uint32_t flags = cookie % 10 == 0 ? RSL_REQ_EXCLUSIVE : 0;
        SAME(rsl_machine_replicate(self.machine, request, 1, (void *)(uintptr_t)cookie, flags), RSL_OK);
        request[0] = 1; /* ours again at once */
    }
    WAIT_FOR(atomic_load(&self.executed) == 101);
    SAME(atomic_load(&self.sum), 102);
    SAME(atomic_load(&self.cookies), 5050 + 1000);
    SAME(rsl_machine_replicate(self.machine, NULL, 0, NULL, 0), RSL_INVALID_PARAMETER);
    SAME(rsl_machine_replicate(self.machine, "x", 1, NULL, RSL_REQ_LAST), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicate(self.machine, "x", 1, NULL, 4), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicate(self.machine, "x", (size_t)5 << 30, NULL, 0), RSL_E_TOO_LARGE);
    uint64_t now = rsl_machine_current_sequence(self.machine);
    SAME(rsl_machine_fast_read(self.machine, now, "r", 1, (void *)(uintptr_t)5, 0), RSL_OK);
    WAIT_FOR(atomic_load(&self.reads) == 5);
    SAME(rsl_machine_fast_read(self.machine, UINT64_MAX, "r", 1, NULL, 100), RSL_FAST_READ_STALE);
    SAME(rsl_machine_fast_read(self.machine, now, NULL, 0, NULL, 0), RSL_INVALID_PARAMETER);
}

static void queries(int port)
{
    SAME(rsl_machine_is_running(self.machine), 1);
    SAME(rsl_machine_is_stable(self.machine), 1);
    rsl_node primary;
    SAME(rsl_machine_current_primary(self.machine, &primary), RSL_OK);
    CHECK(strcmp(primary.member_id, "1") == 0);
    SAME(primary.rsl_port, port);
    SAME(primary.learn_port, port + 1);
    rsl_member_set *set = NULL;
    uint32_t number = 0;
    SAME(rsl_machine_get_configuration(self.machine, &set, &number), RSL_OK);
    SAME(number, 1);
    SAME(rsl_member_set_count(set), 1);
    SAME(rsl_member_set_node(set, 0)->learn_port, 0);
    CHECK(rsl_member_set_node(set, 1) == NULL);
    uint32_t length = 7;
    CHECK(rsl_member_set_cookie(set, &length) == NULL);
    SAME(length, 0);
    rsl_member_set_free(set);
    size_t count = 0;
    SAME(rsl_machine_replicas_health(self.machine, NULL, 0, &count), RSL_E_BUFFER_TOO_SMALL);
    SAME(count, 1);
    rsl_health health[2];
    memset(health, 0x55, sizeof health);
    health[0].struct_size = sizeof health[0];
    SAME(rsl_machine_replicas_health(self.machine, health, 2, &count), RSL_OK);
    SAME(count, 1);
    SAME(health[0].is_primary, 1);
    SAME(health[0].connected, 1);
    SAME(health[1].is_primary, 0x55);
    memset(health, 0, sizeof health);
    health[0].struct_size = sizeof health[0];
    SAME(rsl_machine_replica_health(self.machine, "1", health), RSL_OK);
    CHECK(strcmp(health[0].member_id, "1") == 0);
    SAME(rsl_machine_replica_health(self.machine, "2", health), RSL_E_NOT_FOUND);
    rsl_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    SAME(rsl_machine_stats(self.machine, &stats), RSL_OK);
    CHECK(stats.decrees_executed > 0 && stats.log_writes > 0 && stats.log_write_bytes % 512 == 0);
    rsl_engine_status status;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    SAME(rsl_machine_engine_status(self.machine, &status), RSL_OK);
    SAME(status.role, 1);
    SAME(status.version, 6);
    CHECK(strcmp(status.accepted_member, "1") == 0 && status.accepted_decree > 0);
    rsl_log_file logs[8];
    SAME(rsl_machine_log_files(self.machine, logs, 8, &count), RSL_OK);
    CHECK(count >= 1 && logs[0].len > 0);
    SAME(rsl_machine_log_files(self.machine, NULL, 0, &count), RSL_E_BUFFER_TOO_SMALL);
    SAME(rsl_machine_change_election_delay(self.machine, 0), RSL_OK);
    SAME(rsl_machine_set_vote_payload(self.machine, 42), RSL_OK);
    SAME(rsl_machine_set_accept_messages(self.machine, 1), RSL_OK);
    SAME(rsl_machine_allow_save_state(self.machine, 1), RSL_OK);
    SAME(rsl_machine_attempt_promotion(self.machine), RSL_OK);
    SAME(rsl_machine_relinquish_primary(self.machine), RSL_OK);
    SAME(rsl_machine_pause(self.machine), RSL_OK);
    SAME(rsl_machine_pause(self.machine), RSL_OK);
    SAME(rsl_machine_resume(self.machine), RSL_OK);
    SAME(rsl_machine_resume(self.machine), RSL_OK);
    SAME(rsl_machine_copy_state(self.machine, (void *)(uintptr_t)9), RSL_OK);
    WAIT_FOR(atomic_load(&self.copied) == 1);
    SAME(atomic_load(&self.copied_cookie), 9);
    rsl_config config = app_config("nowhere");
    rsl_node node = app_node("1", port);
    SAME(rsl_machine_initialize(self.machine, &config, NULL, &node, 6, 0, NULL, 0), RSL_E_STATE);
    rsl_member_view view = app_view(&node, 1);
    SAME(rsl_machine_bootstrap(self.machine, &view, 1), RSL_ALREADY_BOOTSTRAPPED);
}

static void checkpoint(void)
{
    self.close_in_save = 1;
    atomic_store(&self.want_save, 1);
    SAME(rsl_machine_replicate(self.machine, "\1", 1, NULL, 0), RSL_OK);
    WAIT_FOR(atomic_load(&self.saved_at) > 0);
}

static void streams(const char *copy)
{
    rsl_reader *reader = NULL;
    SAME(rsl_reader_open("no such file", &reader), RSL_WIN32_CRC);
    CHECK(reader == NULL);
    SAME(rsl_reader_open(self.saved_file, &reader), 0);
    SAME(rsl_reader_size(reader), 8);
    const void *data = NULL;
    uint64_t got = 0;
    SAME(rsl_reader_data_pointer(reader, UINT64_MAX, &data, &got), 0);
    SAME(got, 8);
    SAME(*(const unsigned char *)data, 103);
    SAME(rsl_reader_seek(reader, 2), 0);
    SAME(rsl_reader_tell(reader), 2);
    SAME(rsl_reader_skip(reader, 0), 0);
    SAME(rsl_reader_skip(reader, 5), 0);
    SAME(rsl_reader_tell(reader), 7);
    SAME(rsl_reader_skip(reader, 2), RSL_WIN32_HANDLE_EOF);
    SAME(rsl_reader_tell(reader), 8);
    SAME(rsl_reader_seek(reader, 8), 0);
    SAME(rsl_reader_data_pointer(reader, 0, &data, NULL), RSL_WIN32_HANDLE_EOF);
    SAME(rsl_reader_seek(reader, 9), RSL_WIN32_HANDLE_EOF);
    SAME(rsl_reader_tell(reader), 8);
    SAME(rsl_reader_seek(reader, 0), 0);
    SAME(rsl_reader_data_pointer(reader, 0, &data, &got), 0);
    SAME(got, 0);

    rsl_writer *writer = NULL;
    SAME(rsl_writer_create_like(reader, copy, &writer), 0);
    SAME(rsl_writer_write(writer, "123456789", 9), 0);
    SAME(rsl_writer_finish(writer, self.saved_file), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_writer_finish(writer, copy), 0);
    SAME(rsl_writer_write(writer, "1", 1), RSL_WIN32_INVALID_HANDLE);
    rsl_writer_free(writer);
    rsl_reader_close(reader);
    SAME(rsl_reader_open(copy, &reader), 0);
    SAME(rsl_reader_size(reader), 9);
    /* One that is not finished leaves nothing. */
    SAME(rsl_writer_create_like(reader, copy, &writer), 0);
    rsl_writer_free(writer);
    rsl_reader_close(reader);
    SAME(rsl_reader_open(copy, &reader), RSL_WIN32_CRC);
}

static void after_the_end(void)
{
    uint32_t number = 5;
    rsl_member_set *set = NULL;
    SAME(rsl_machine_is_running(self.machine), 0);
    SAME(rsl_machine_replicate(self.machine, "x", 1, NULL, 0), RSL_E_STATE);
    SAME(rsl_machine_fast_read(self.machine, 0, "x", 1, NULL, 0), RSL_E_STATE);
    SAME(rsl_machine_copy_state(self.machine, NULL), RSL_E_STATE);
    SAME(rsl_machine_get_configuration(self.machine, &set, &number), RSL_E_STATE);
    CHECK(set == NULL && number == 5);
    SAME(rsl_machine_current_sequence(self.machine), 0);
    SAME(rsl_machine_highest_passed_sequence(self.machine), 0);
    SAME(rsl_machine_is_stable(self.machine), 0);
    SAME(rsl_machine_has_pending_execution(self.machine), 0);
    SAME(rsl_machine_unload(self.machine), RSL_OK);
    size_t count = 3;
    SAME(rsl_machine_replicas_health(self.machine, NULL, 0, &count), RSL_OK);
    SAME(count, 0);
}

int main(int count, char **words)
{
    CHECK(count == 4);
    const char *directory = words[1], *copy = words[2];
    int port = atoi(words[3]);
    SAME(rsl_abi_version() >> 16, RSL_ABI_MAJOR);
    rsl_callbacks table = app_callbacks();
    SAME(rsl_machine_create(&table, &self, &self.machine), RSL_OK);
    SAME(rsl_machine_replicate(self.machine, "x", 1, NULL, 0), RSL_E_STATE);
    SAME(rsl_machine_unload(self.machine), RSL_OK);
    rsl_spawn threads = app_threads();
    app_start(&self, directory, port, &threads);
    SAME(atomic_load(&self.loads), 1);
    CHECK(atomic_load(&self.asked) >= 1);
    CHECK(atomic_load(&app_threads_made) >= 4);
    requests();
    queries(port);
    checkpoint();
    streams(copy);
    unsigned long long sum = atomic_load(&self.sum);
    SAME(rsl_machine_unload(self.machine), RSL_OK);
    SAME(atomic_load(&self.shut_downs), 1);
    SAME(atomic_load(&self.status_calls), 1);
    after_the_end();

    /* The same handle starts again, from the checkpoint. */
    app_start(&self, directory, port, &threads);
    SAME(atomic_load(&self.sum), sum);
    SAME(atomic_load(&self.loads), 2);
    rsl_unload_all();
    SAME(atomic_load(&self.shut_downs), 2);
    SAME(atomic_load(&self.aborted), 0);
    rsl_machine_destroy(self.machine);

    /* Destroying a machine that runs ends it first, and not the process. */
    SAME(rsl_machine_create(&table, &self, &self.machine), RSL_OK);
    app_start(&self, directory, port, NULL);
    rsl_machine_destroy(self.machine);
    SAME(atomic_load(&self.shut_downs), 3);
    puts("done");
    return 0;
}
