/* The ways a process ends: each run of this program ends in the one that its first argument names. */
#ifdef _WIN32
#include <winsock2.h>
typedef SOCKET socket_t;
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
typedef int socket_t;
#endif

#include "check.h"

static app self;
static int keep;

static int32_t on_exit_asked(void *ctx, rsl_machine *machine, int32_t reason, int32_t exit_code)
{
    SAME((uintptr_t)ctx, 5);
    printf("on_exit machine=%d reason=%d code=%d\n", machine != NULL, reason, exit_code);
    fflush(stdout);
    return keep;
}

static void on_notify(void *ctx, int32_t level, int32_t log_id, const char *title, const char *message)
{
    (void)ctx;
    printf("notify level=%d id=%d title=%s message=%s\n", level, log_id, title, message ? message : "NULL");
    fflush(stdout);
}

static void on_log(void *ctx, const rsl_log_record *record)
{
    (void)ctx;
    CHECK(record->file != NULL && record->function != NULL && record->title != NULL && record->text != NULL);
    if (record->level >= 4) {
        printf("log level=%d title=%s\n", record->level, record->title);
        fflush(stdout);
    }
}

static void destroy_inside(app *app)
{
    rsl_machine_destroy(app->machine);
}

static void unload_inside(app *app)
{
    app->inside = NULL;
    SAME(rsl_machine_unload(app->machine), RSL_OK);
}

int main(int count, char **words)
{
    CHECK(count == 4);
    const char *way = words[1], *directory = words[2];
    int port = atoi(words[3]);
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.notify = on_notify;
    params.log = on_log;
    SAME(rsl_init(&params), RSL_OK);
    rsl_exit_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.struct_size = sizeof policy;
    policy.ctx = (void *)(uintptr_t)5;
    policy.on_exit = on_exit_asked;
    SAME(rsl_set_exit_policy(&policy), RSL_OK);
    keep = strstr(way, "keep") != NULL;

    if (strcmp(way, "fatal-keep") == 0) {
        rsl_fatal("on purpose");
    }
    if (strcmp(way, "abort") == 0) {
        rsl_set_minidump_enabled(0);
        rsl_fatal("on purpose");
    }
    rsl_callbacks table = app_callbacks();
    SAME(rsl_machine_create(&table, &self, &self.machine), RSL_OK);
    if (strcmp(way, "released") == 0) {
        rsl_machine_destroy(self.machine);
        rsl_machine_pause(self.machine);
        return 98;
    }
    if (strcmp(way, "config") == 0) {
        rsl_config config = app_config(directory);
        rsl_node node = app_node("1", port);
        config.election_delay_sec = 0;
        SAME(rsl_machine_initialize(self.machine, &config, NULL, &node, 6, 0, NULL, 0), RSL_E_CONFIG);
        puts("refused");
        return 0;
    }
    app_start(&self, directory, port, NULL);
    if (strcmp(way, "unload") == 0 || strcmp(way, "unload-keep") == 0) {
        SAME(rsl_machine_unload(self.machine), RSL_OK);
        SAME(atomic_load(&self.shut_downs), 1);
        puts("still here");
        rsl_machine_destroy(self.machine);
        return 7;
    }
    if (strcmp(way, "unload-all") == 0) {
        rsl_unload_all();
        return 98;
    }
    if (strcmp(way, "busy") == 0) {
        /* Has every kind of thread at work that a sole member has; one of them may have ended it all already. */
        rsl_machine_copy_state(self.machine, NULL);
        atomic_store(&self.want_save, 1);
        rsl_machine_replicate(self.machine, "x", 1, NULL, 0);
        struct sockaddr_in address;
        memset(&address, 0, sizeof address);
        address.sin_family = AF_INET;
        address.sin_port = htons((uint16_t)(port + 1));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socket_t link = socket(AF_INET, SOCK_STREAM, 0);
        connect(link, (struct sockaddr *)&address, sizeof address);
        sleep_ms(30000);
        return 98;
    }
    self.inside = strcmp(way, "destroy-inside") == 0 ? destroy_inside : unload_inside;
    SAME(rsl_machine_replicate(self.machine, "x", 1, NULL, 0), RSL_OK);
    sleep_ms(30000);
    return 98;
}
