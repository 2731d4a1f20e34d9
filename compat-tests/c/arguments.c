/* Every function with NULL for every pointer, every struct with sizes that cannot be, every number out of range. */
#include "check.h"

static app self;

/* With a machine that exists but does not run. */
static void null_pointers(rsl_machine *machine)
{
    rsl_callbacks table = app_callbacks();
    rsl_config config = app_config("nowhere");
    rsl_node node = app_node("1", 1);
    rsl_member_view view = app_view(&node, 1);
    rsl_machine *made = NULL;
    rsl_member_set *set = NULL;
    rsl_reader *reader = NULL;
    rsl_writer *writer = NULL;
    size_t count = 0;
    uint64_t got = 0;
    const void *data = NULL;
    char buffer[8];

    SAME(rsl_machine_create(NULL, NULL, &made), RSL_E_ARGUMENT);
    SAME(rsl_machine_create(&table, NULL, NULL), RSL_E_ARGUMENT);
    CHECK(made == NULL);
    SAME(rsl_machine_initialize(NULL, &config, &view, &node, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_initialize(machine, NULL, &view, &node, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_initialize(machine, &config, &view, NULL, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    config.working_dir = NULL;
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    config.working_dir = "";
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_CONFIG);
    config.working_dir = "nowhere";
    view.nodes = NULL;
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    view = app_view(&node, 1);
    view.cookie_len = 1;
    SAME(rsl_machine_bootstrap(machine, &view, 0), RSL_E_ARGUMENT);
    view = app_view(&node, 1);
    SAME(rsl_machine_bootstrap(NULL, &view, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_bootstrap(machine, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_bootstrap(machine, &view, 0), RSL_E_STATE);
    rsl_spawn threads = app_threads();
    threads.spawn = NULL;
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, &threads, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_unload(NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_pause(NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_pause(machine), RSL_E_STATE);
    SAME(rsl_machine_resume(NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_resume(machine), RSL_E_STATE);
    SAME(rsl_machine_is_running(NULL), 0);
    rsl_machine_destroy(NULL);

    SAME(rsl_machine_replicate(NULL, "x", 1, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicate(machine, NULL, 1, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_fast_read(NULL, 0, "x", 1, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_fast_read(machine, 0, NULL, 1, NULL, 0), RSL_E_ARGUMENT);
    SAME(rsl_machine_change_configuration(NULL, &view, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_change_configuration(machine, NULL, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_change_configuration(machine, &view, NULL), RSL_E_STATE);
    SAME(rsl_machine_copy_state(NULL, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_attempt_promotion(NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_attempt_promotion(machine), RSL_E_STATE);
    SAME(rsl_machine_relinquish_primary(NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_change_election_delay(NULL, 1), RSL_E_ARGUMENT);
    SAME(rsl_machine_allow_save_state(NULL, 1), RSL_E_ARGUMENT);
    SAME(rsl_machine_set_vote_payload(NULL, 1), RSL_E_ARGUMENT);
    SAME(rsl_machine_set_accept_messages(NULL, 1), RSL_E_ARGUMENT);

    SAME(rsl_machine_current_sequence(NULL), 0);
    SAME(rsl_machine_highest_passed_sequence(NULL), 0);
    SAME(rsl_machine_is_stable(NULL), 0);
    SAME(rsl_machine_has_pending_execution(NULL), 0);
    SAME(rsl_machine_current_primary(NULL, &node), RSL_E_ARGUMENT);
    SAME(rsl_machine_current_primary(machine, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_get_configuration(NULL, &set, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_get_configuration(machine, NULL, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicas_health(NULL, NULL, 0, &count), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicas_health(machine, NULL, 1, &count), RSL_E_ARGUMENT);
    SAME(rsl_machine_replicas_health(machine, NULL, 0, NULL), RSL_E_ARGUMENT);
    rsl_health health;
    health.struct_size = sizeof health;
    SAME(rsl_machine_replica_health(NULL, "1", &health), RSL_E_ARGUMENT);
    SAME(rsl_machine_replica_health(machine, NULL, &health), RSL_E_ARGUMENT);
    SAME(rsl_machine_replica_health(machine, "1", NULL), RSL_E_ARGUMENT);
    rsl_stats stats;
    stats.struct_size = sizeof stats;
    SAME(rsl_machine_stats(NULL, &stats), RSL_E_ARGUMENT);
    SAME(rsl_machine_stats(machine, NULL), RSL_E_ARGUMENT);
    rsl_engine_status status;
    status.struct_size = sizeof status;
    SAME(rsl_machine_engine_status(NULL, &status), RSL_E_ARGUMENT);
    SAME(rsl_machine_engine_status(machine, NULL), RSL_E_ARGUMENT);
    SAME(rsl_machine_engine_status(machine, &status), RSL_E_STATE);
    SAME(rsl_machine_log_files(NULL, NULL, 0, &count), RSL_E_ARGUMENT);
    SAME(rsl_machine_log_files(machine, NULL, 1, &count), RSL_E_ARGUMENT);
    SAME(rsl_machine_log_files(machine, NULL, 0, NULL), RSL_E_ARGUMENT);

    SAME(rsl_member_set_count(NULL), 0);
    CHECK(rsl_member_set_node(NULL, 0) == NULL);
    CHECK(rsl_member_set_cookie(NULL, NULL) == NULL);
    rsl_member_set_free(NULL);
    SAME(rsl_cookie_sink_set(NULL, "x", 1), RSL_E_ARGUMENT);

    SAME(rsl_reader_open(NULL, &reader), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_open("x", NULL), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_data_pointer(NULL, 1, &data, &got), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_read(NULL, buffer, 1, &got), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_read(NULL, NULL, 1, &got), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_skip(NULL, 1), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_seek(NULL, 1), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_reader_tell(NULL), 0);
    SAME(rsl_reader_size(NULL), 0);
    CHECK(rsl_reader_path(NULL) == NULL);
    rsl_reader_close(NULL);
    SAME(rsl_writer_create_like(NULL, "x", &writer), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_writer_write(NULL, "x", 1), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_writer_close(NULL), RSL_WIN32_INVALID_PARAMETER);
    SAME(rsl_writer_finish(NULL, "x"), RSL_WIN32_INVALID_PARAMETER);
    rsl_writer_free(NULL);

    SAME(rsl_init(NULL), RSL_E_ARGUMENT);
    SAME(rsl_set_exit_policy(NULL), RSL_OK);
    SAME(rsl_config_defaults(NULL), RSL_E_ARGUMENT);
    SAME(rsl_checksum(NULL, 1), 0);
    CHECK(rsl_last_error(NULL, 0) > 0);
}

static void sizes(rsl_machine *machine)
{
    rsl_callbacks table = app_callbacks();
    rsl_machine *made = NULL;
    table.struct_size = 0;
    SAME(rsl_machine_create(&table, NULL, &made), RSL_E_ABI);
    table.struct_size = 1u << 20;
    SAME(rsl_machine_create(&table, NULL, &made), RSL_E_ABI);
    /* An older caller that does not know the last, mandatory, callback. */
    table.struct_size = sizeof table - 8;
    SAME(rsl_machine_create(&table, NULL, &made), RSL_E_ARGUMENT);
    struct {
        rsl_callbacks known;
        uint64_t more;
    } newer = {app_callbacks(), 0};
    newer.known.struct_size = sizeof newer;
    SAME(rsl_machine_create(&newer.known, NULL, &made), RSL_OK);
    rsl_machine_destroy(made);
    newer.more = 1;
    SAME(rsl_machine_create(&newer.known, NULL, &made), RSL_E_ABI);
    table = app_callbacks();
    table.flags = 0x80;
    SAME(rsl_machine_create(&table, NULL, &made), RSL_E_ABI);

    rsl_node node = app_node("1", 1);
    rsl_member_view view = app_view(&node, 1);
    rsl_config config = app_config("nowhere");
    config.struct_size = 0;
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_ABI);
    view.struct_size = 8;
    SAME(rsl_machine_bootstrap(machine, &view, 1), RSL_E_ABI);
    rsl_stats stats;
    stats.struct_size = 0;
    SAME(rsl_machine_stats(machine, &stats), RSL_E_ABI);
    stats.struct_size = 12;
    SAME(rsl_machine_stats(machine, &stats), RSL_E_ARGUMENT);
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    SAME(rsl_init(&params), RSL_E_ABI);
    rsl_exit_policy policy;
    memset(&policy, 0, sizeof policy);
    SAME(rsl_set_exit_policy(&policy), RSL_E_ABI);
    for (int which = 0; which < 12; which++) {
        CHECK(rsl_struct_size(which) > 0);
    }
    SAME(rsl_struct_size(-1), 0);
    SAME(rsl_struct_size(12), 0);
    SAME(rsl_struct_size(INT32_MIN), 0);
    SAME(rsl_struct_size(INT32_MAX), 0);
}

static void numbers(rsl_machine *machine)
{
    rsl_node node = app_node("1", 1);
    rsl_member_view view = app_view(&node, 1);
    rsl_config config = app_config("nowhere");
    const int32_t versions[] = {INT32_MIN, -1, 0, 7, 65537, INT32_MAX};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        SAME(rsl_machine_initialize(machine, &config, &view, &node, versions[i], 0, NULL, 0), RSL_E_ARGUMENT);
    }
    /* Up to version 3 a member set is needed, and ids are numbers. */
    SAME(rsl_machine_initialize(machine, &config, NULL, &node, 3, 0, NULL, 0), RSL_INVALID_PARAMETER);
    rsl_node twice[2] = {node, node};
    view = app_view(twice, 2);
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_INVALID_PARAMETER);
    view = app_view(&node, 1);
    config.num_reader_threads = 101;
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_CONFIG);
    char text[200];
    size_t length = rsl_last_error(text, sizeof text);
    SAME(length, strlen(text));
    CHECK(strstr(text, "m_numReaderThreads") != NULL);
    char few[6];
    SAME(rsl_last_error(few, sizeof few), length);
    SAME(strlen(few), 5);
    config = app_config("no such directory/below");
    SAME(rsl_machine_initialize(machine, &config, &view, &node, 6, 0, NULL, 0), RSL_E_IO);
    memset(node.member_id, 'x', sizeof node.member_id);
    config = app_config("nowhere");
    SAME(rsl_machine_initialize(machine, &config, NULL, &node, 6, 0, NULL, 0), RSL_E_ARGUMENT);
    /* Decision 7: who asks for TLS gets TLS or nothing. */
    node = app_node("1", 1);
    SAME(rsl_tls_set_thumbprints("00", NULL, 0, 0), RSL_E_TLS);
    SAME(rsl_machine_initialize(machine, &config, NULL, &node, 6, 0, NULL, 0), RSL_E_TLS);
    SAME(rsl_tls_set_subjects(NULL, NULL, NULL, NULL, 0), RSL_OK);
    SAME(rsl_tls_set_subjects("CN=x", NULL, NULL, NULL, 0), RSL_E_TLS);
    SAME(rsl_tls_set_thumbprints(NULL, NULL, 0, 0), RSL_OK);
    SAME(rsl_tls_is_enabled(), 0);
    SAME(rsl_machine_is_running(machine), 0);

    SAME(rsl_checksum("", 0), (int64_t)UINT64_C(0xa795d0f29b4dcdf8));
    SAME(rsl_checksum("a", 1), (int64_t)UINT64_C(0xd62bafc94e2152f3));
    SAME(rsl_checksum("abc", 3), (int64_t)UINT64_C(0x84724f5d5fed6f76));
    SAME(rsl_checksum("hello", 5), (int64_t)UINT64_C(0x2e68eb152273854b));
    uint64_t before = rsl_tick_count_us();
    sleep_ms(5);
    CHECK(before > 0 && rsl_tick_count_us() - before >= 5000);
}

int main(void)
{
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    SAME(rsl_init(&params), RSL_OK);
    rsl_callbacks table = app_callbacks();
    rsl_machine *machine = NULL;
    SAME(rsl_machine_create(&table, &self, &machine), RSL_OK);
    null_pointers(machine);
    sizes(machine);
    numbers(machine);
    rsl_machine_destroy(machine);
    puts("done");
    return 0;
}
