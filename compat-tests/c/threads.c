/* 24 threads on one handle, beside threads that create and destroy machines of their own. */
#include "check.h"

#include <pthread.h>

static app self;
static atomic_ullong accepted;
static atomic_int stop;

static void *submit(void *arg)
{
    uintptr_t number = (uintptr_t)arg;
    for (int i = 0; i < 200; i++) {
        if (rsl_machine_replicate(self.machine, "\1", 1, (void *)(number + 1), 0) == RSL_OK) {
            atomic_fetch_add(&accepted, number + 1);
        }
        rsl_node node;
        size_t count = 0;
        rsl_health health[1];
        health[0].struct_size = sizeof health[0];
        SAME(rsl_machine_current_primary(self.machine, &node), RSL_OK);
        SAME(rsl_machine_replicas_health(self.machine, health, 1, &count), RSL_OK);
        const uint64_t executed = rsl_machine_current_sequence(self.machine);
        CHECK(rsl_machine_highest_passed_sequence(self.machine) >= executed);
        rsl_member_set *set = NULL;
        SAME(rsl_machine_get_configuration(self.machine, &set, NULL), RSL_OK);
        rsl_member_set_free(set);
        rsl_machine_set_vote_payload(self.machine, number);
    }
    return NULL;
}

static void *churn(void *arg)
{
    (void)arg;
    rsl_callbacks table = app_callbacks();
    while (!atomic_load(&stop)) {
        rsl_machine *machine = NULL;
        SAME(rsl_machine_create(&table, NULL, &machine), RSL_OK);
        SAME(rsl_machine_unload(machine), RSL_OK);
        rsl_machine_destroy(machine);
    }
    return NULL;
}

int main(int count, char **words)
{
    CHECK(count == 3);
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    SAME(rsl_init(&params), RSL_OK);
    rsl_callbacks table = app_callbacks();
    rsl_spawn threads = app_threads();
    SAME(rsl_machine_create(&table, &self, &self.machine), RSL_OK);
    app_start(&self, words[1], atoi(words[2]), &threads);
    pthread_t users[24], churners[2];
    for (uintptr_t i = 0; i < 24; i++) {
        SAME(pthread_create(&users[i], NULL, submit, (void *)i), 0);
    }
    for (int i = 0; i < 2; i++) {
        SAME(pthread_create(&churners[i], NULL, churn, NULL), 0);
    }
    for (int i = 0; i < 24; i++) {
        pthread_join(users[i], NULL);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++) {
        pthread_join(churners[i], NULL);
    }
    rsl_unload_all();
    /* Every cookie came back once. */
    SAME(atomic_load(&accepted), atomic_load(&self.cookies) + atomic_load(&self.abort_cookies));
    CHECK(atomic_load(&self.executed) + atomic_load(&self.aborted) > 4000);
    rsl_machine_destroy(self.machine);
    puts("done");
    return 0;
}
