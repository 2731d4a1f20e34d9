/* The counter in C: one process, one member. Numbers on standard input are added; the sum is back after a restart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rsl_c.h"

typedef struct counter {
    long long value;
} counter;

static int32_t load_state(void *ctx, rsl_reader *reader)
{
    counter *self = ctx;
    uint64_t got = 0;
    self->value = 0;
    return reader == NULL || (rsl_reader_read(reader, &self->value, sizeof self->value, &got) == 0 && got == sizeof self->value);
}

static void execute(void *ctx, const void *request, size_t len, void *cookie, int32_t *save_state)
{
    counter *self = ctx;
    long long step = 0;
    (void)cookie;
    (void)save_state;
    if (len == sizeof step) {
        memcpy(&step, request, len);
        self->value += step;
        printf("%lld\n", self->value);
        fflush(stdout);
    }
}

static int32_t try_save_state(void *ctx, rsl_writer *writer)
{
    counter *self = ctx;
    return rsl_writer_write(writer, &self->value, sizeof self->value) == 0;
}

static void fast_read(void *ctx, const void *request, size_t len, void *cookie)
{
    (void)ctx, (void)request, (void)len, (void)cookie;
}

static void abort_any(void *ctx, rsl_status why, void *cookie)
{
    (void)ctx, (void)cookie;
    printf("not known whether it was executed: %d\n", why);
}

static void notify_status(void *ctx, int32_t is_primary)
{
    (void)ctx;
    printf("primary: %d\n", is_primary);
    fflush(stdout);
}

static void configuration_changed(void *ctx, void *cookie)
{
    (void)ctx, (void)cookie;
}

static void shut_down(void *ctx, rsl_status why)
{
    (void)ctx, (void)why;
}

int main(int count, char **words)
{
    static counter state;
    if (count != 3) {
        fprintf(stderr, "usage: counter_c DIRECTORY PORT\n");
        return 2;
    }
    rsl_init_params params = {.struct_size = sizeof params};
    rsl_callbacks table = {.struct_size = sizeof table,
                           .flags = RSL_CB_DEFAULT_RESOLVE,
                           .load_state = load_state,
                           .execute_replicated = execute,
                           .execute_fast_read = fast_read,
                           .abort_request = abort_any,
                           .try_save_state = try_save_state,
                           .notify_status = notify_status,
                           .notify_configuration_changed = configuration_changed,
                           .abort_change_configuration = abort_any,
                           .shut_down = shut_down};
    rsl_config config = {.struct_size = sizeof config};
    rsl_node self = {.member_id = "1", .rsl_port = (uint16_t)atoi(words[2])};
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&self.ip, loopback, 4);
    rsl_member_view members = {.struct_size = sizeof members, .nodes = &self, .node_count = 1};
    rsl_machine *machine = NULL;
    rsl_config_defaults(&config);
    config.working_dir = words[1];
    if (rsl_init(&params) != RSL_OK || rsl_machine_create(&table, &state, &machine) != RSL_OK ||
        rsl_machine_initialize(machine, &config, &members, &self, 6, 0, NULL, 1) != RSL_OK) {
        char text[300];
        rsl_last_error(text, sizeof text);
        fprintf(stderr, "it cannot start: %s\n", text);
        return 1;
    }
    for (long long step; scanf("%lld", &step) == 1;) {
        const rsl_status status = rsl_machine_replicate(machine, &step, sizeof step, NULL, 0);
        if (status != RSL_OK) {
            printf("refused: %d\n", status);
            fflush(stdout);
        }
    }
    rsl_machine_destroy(machine);
    return 0;
}
